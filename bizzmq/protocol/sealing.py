"""What is done to an envelope between encoding and storing: the body is compressed and encrypted, then all is signed.

The option `encoding` of an envelope lists what was done to its body, in that order. The body is then bytes, no JSON.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bizzmq.errors import DecodeError
from bizzmq.message import Message
from bizzmq.protocol import compression, encryption, json_codec, signing
from bizzmq.protocol.encryption import Cipher, EncryptionKeys
from bizzmq.protocol.envelope import (
    MAX_PAYLOAD_BYTES,
    SealedBody,
    check_size,
    decode_body,
    decode_envelope,
    encode_body,
)
from bizzmq.protocol.secret_keys import Key
from bizzmq.protocol.signing import Signer
from bizzmq.validation import checks

Decode = Callable[[str, str, bytes], Message]


class Sealer:
    """Compresses, encrypts and signs envelopes, and reverses it, each only if it is asked for.

    Args:
        signing_keys: see `Signer`; None for unsigned messages.
        compress_above_bytes: bodies whose JSON is larger are compressed; None compresses none.
        encryption_keys: see `Cipher`; None for plain bodies.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        signing_keys: Sequence[Key] | None = None,
        compress_above_bytes: int | None = None,
        encryption_keys: EncryptionKeys | None = None,
    ) -> None:
        self._signer = None if signing_keys is None else Signer(signing_keys)
        self._above = None if compress_above_bytes is None else checked_size(compress_above_bytes)
        self._cipher = None if encryption_keys is None else Cipher(encryption_keys)

    @property
    def changes_envelopes(self) -> bool:
        """Whether there is anything to do to an envelope."""
        return not (self._signer is None and self._above is None and self._cipher is None)

    @property
    def signs(self) -> bool:
        """Whether messages are signed, and must be."""
        return self._signer is not None

    def seal(self, message_id: str, queue: str, envelope: bytes) -> bytes:
        """The envelope to be stored."""
        if self._above is not None or self._cipher is not None:
            envelope = self._with_encoded_body(message_id, queue, envelope)
        return envelope if self._signer is None else self._signer.sign(message_id, queue, envelope)

    def _with_encoded_body(self, message_id: str, queue: str, envelope: bytes) -> bytes:
        line, _, body = envelope.partition(b"\n")
        done: list[str] = []
        if self._above is not None and len(body) > self._above:
            packed = compression.compress(body)
            if packed is not None:
                done, body = [packed[0]], packed[1]
        if self._cipher is not None:
            done.append(encryption.PREFIX + self._cipher.key_id)
            body = self._cipher.encrypt(message_id, queue, body)
        if not done:
            return envelope
        version, _, options = line.partition(b"\t")
        before = options[:-1] + b"," if len(options) > 2 else b"{"
        return b'%b\t%b"encoding":%b}\n%b' % (version, before, json_codec.dumps(done), body)

    def decode(self, message_id: str, queue: str, envelope: bytes) -> Message:
        """The message of a stored envelope. Without the key of its body, the body is a `SealedBody`.

        Raises:
            UnsignedError, SignatureError: see `Signer.decode`.
            DecodeError: the envelope is malformed, or its body is damaged.
        """
        if self._signer is not None:
            check_size(envelope)
            self._signer.check(message_id, queue, envelope)
        message = decode_envelope(message_id, queue, envelope)
        return self.opened(message) if type(message.body) is SealedBody else message

    def unsealed(self, message_id: str, queue: str, envelope: bytes) -> bytes:
        """The envelope before it was sealed.

        Raises:
            UnsignedError, SignatureError: see `Signer.decode`.
            DecodeError: the envelope is malformed or damaged, or the key of its body is unknown.
        """
        line, _, body = envelope.partition(b"\n")
        if self._signer is None and b'"sig"' not in line and b'"encoding"' not in line:
            return envelope
        sealed = self.decode(message_id, queue, envelope).body
        version, _, rest = line.partition(b"\t")
        options = decode_body(rest) if rest else {}
        if type(sealed) is SealedBody:
            raise DecodeError(f"the body is encrypted with the key {sealed.key_id!r}, which is unknown here")
        if not {"sig", "encoding"} & {*options}:
            return envelope
        if "encoding" in options:
            body = encode_body(sealed)
        kept = {name: value for name, value in options.items() if name not in ("sig", "encoding")}
        return version + (b"\t" + json_codec.dumps(kept) if kept else b"") + b"\n" + body

    def opened(self, message: Message) -> Message:
        """The message with its body, if the key is known. Raises DecodeError."""
        sealed = message.body
        if type(sealed) is not SealedBody or self._cipher is None or not self._cipher.knows(sealed.key_id):
            return message
        body = self._cipher.decrypt(sealed.key_id, message.id, message.queue, sealed.data)
        for name in reversed(sealed.encoding[:-1]):
            body = compression.decompress(name, body, MAX_PAYLOAD_BYTES)
        return message._replace(body=decode_body(body))


def decoder(sealer: Sealer | None) -> Decode:
    """The function that decodes stored envelopes."""
    return decode_envelope if sealer is None or not sealer.changes_envelopes else sealer.decode


def from_environment() -> Sealer | None:
    """What the commands use: the keys of the environment. None without any. Raises ConfigurationError."""
    made = Sealer(signing.keys_from_environment(), encryption_keys=encryption.keys_from_environment())
    return made if made.changes_envelopes else None


def checked_size(value: Any) -> int:
    """The size above which bodies are compressed. Raises ConfigurationError."""
    return checks.integer("compress_above_bytes", value, 0, otherwise=", or None to compress none")
