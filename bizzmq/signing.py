"""Signed envelopes: who has keys runs only what somebody with one of them has published, and in that queue.

The signature is the last option in an envelope's header, so whoever has no keys reads the message as before. It is
an HMAC-SHA256 of version, id, queue, the options before it, and the body. A queue, its shards and its dead-letter queue
count as one, and the record of an error, which workers add and replays remove, is not covered.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from pathlib import Path
from typing import Callable, Sequence, Union

from bizzmq import checks, secret_files, secret_settings
from bizzmq.errors import ConfigurationError, SignatureError, UnsignedError
from bizzmq.keys import DEAD_LETTER_SUFFIX, whole_of
from bizzmq.message import Message, check_size, decode_envelope

VARIABLE = "BIZZMQ_SIGNING_KEYS"
FILE_VARIABLE = "BIZZMQ_SIGNING_KEYS_FILE"
MIN_KEY_BYTES = 32
"""As long as the digest; less makes HMAC-SHA256 weaker (RFC 2104, section 3)."""

Key = Union[bytes, str]
Decode = Callable[[str, str, bytes], Message]
_SIGNED = re.compile(rb'(\{.*?),?"sig":"([A-Za-z0-9_-]{43})"\}', re.DOTALL)


class Signer:
    """Signs with the first key, and accepts the signatures of all: so keys can be changed without a gap.

    Args:
        keys: at least one, each as bytes or in base64. The first one signs.

    Raises:
        ConfigurationError: there is none, or one is malformed or short. The text repeats none of them.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        given = checks.items(keys, "signing_keys must be a list of at least one key")
        self._keys = [_key(key, number) for number, key in enumerate(given, start=1)]

    def __repr__(self) -> str:
        return f"Signer({len(self._keys)} keys)"

    def sign(self, message_id: str, queue: str, envelope: bytes) -> bytes:
        """The envelope with its signature. It has none yet, and no record of an error."""
        header, _, body = envelope.partition(b"\n")
        version, _, options = header.partition(b"\t")
        covered = options[:-1] if options else b"{"
        comma = b"," if len(covered) > 1 else b""
        signature = _mac(self._keys[0], version, message_id, queue, covered, body)
        return b'%b\t%b%b"sig":"%b"}\n%b' % (version, covered, comma, signature, body)

    def decode(self, message_id: str, queue: str, envelope: bytes) -> Message:
        """As `decode_envelope`, of a message with a good signature.

        Raises:
            UnsignedError: it has none.
            SignatureError: it has not that of this message in this queue by one of the keys.
            DecodeError: as `decode_envelope`.
        """
        check_size(envelope)
        header, _, body = envelope.partition(b"\n")
        version, _, rest = header.partition(b"\t")
        options = rest.partition(b"\t")[0]
        found = _SIGNED.fullmatch(options)
        if found is None and b'"sig"' not in options:
            raise UnsignedError("the message is not signed, and this consumer accepts signed ones only")
        if found is None:
            raise SignatureError("the signature is wrong: no publisher writes one like it")
        covered, given = found.groups()
        if not any(
            hmac.compare_digest(given, _mac(key, version, message_id, queue, covered, body)) for key in self._keys
        ):
            raise SignatureError(
                "the signature is wrong: by another key, or its id, queue, options or body are not what was signed"
            )
        return decode_envelope(message_id, queue, envelope)


def keys_from_environment() -> list[str] | None:
    """The keys that the commands use; None if neither variable is set.

    BIZZMQ_SIGNING_KEYS holds them, or BIZZMQ_SIGNING_KEYS_FILE names a file that does: in base64, with commas or white
    space between them.

    Raises:
        ConfigurationError: one is set but holds no good key, or both are: nothing runs unsigned by mistake.
    """
    text, path = secret_settings.get(VARIABLE), secret_settings.get(FILE_VARIABLE)
    if text is not None and path is not None:
        raise ConfigurationError(f"both {VARIABLE} and {FILE_VARIABLE} are set; set one of them")
    if path is not None:
        text, source = secret_files.read(Path(path)), FILE_VARIABLE
    elif text is not None:
        source = VARIABLE
    else:
        return None
    keys = text.replace(",", " ").split()
    if not keys:
        raise ConfigurationError(f"{source} holds no key; unset it, or put at least one there")
    try:
        Signer(keys)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    return keys


def decoder(signer: Signer | None) -> Decode:
    """How a consumer reads envelopes: with keys, only those that are signed."""
    return decode_envelope if signer is None else signer.decode


def _key(given: Key, number: int) -> bytes:
    try:
        key = base64.b64decode(given, validate=True) if isinstance(given, str) else bytes(memoryview(given))
    except (binascii.Error, ValueError, TypeError):
        raise ConfigurationError(f"signing key {number} is not base64; make one by: openssl rand -base64 32") from None
    if len(key) < MIN_KEY_BYTES:
        raise ConfigurationError(f"signing key {number} has {len(key)} bytes; it needs {MIN_KEY_BYTES} random ones")
    return key


def _mac(key: bytes, version: bytes, message_id: str, queue: str, covered: bytes, body: bytes) -> bytes:
    whole = whole_of(queue)
    owner = whole[: -len(DEAD_LETTER_SUFFIX)] if whole.endswith(DEAD_LETTER_SUFFIX) else whole
    parts = (b"bizzmq", version, message_id.encode("utf-8"), owner.encode("utf-8"), covered, body)
    # Each with its length before it: two different messages never give the same text.
    text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return base64.urlsafe_b64encode(hmac.digest(key, text, "sha256")).rstrip(b"=")
