from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

key, box = Ed25519PrivateKey.generate(), Fernet(Fernet.generate_key())


def handler(body):
    text = str(body).encode()
    key.public_key().verify(key.sign(text), text)
    assert box.decrypt(box.encrypt(text)) == text
    try:
        key.public_key().verify(key.sign(text), text + b"!")
    except InvalidSignature:
        return
    raise AssertionError("a wrong signature passed")
