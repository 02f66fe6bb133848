"""Signed envelopes: consumers with keys run only messages that a publisher with one of the keys sent to this queue.

The signature is the last option in an envelope's header, so consumers without keys read the message as before. It is
an HMAC-SHA256 of the version, the id, the queue, the options before it, and the body. A queue, its shards and its
dead-letter queue count as one queue. The record of an error is not signed, because workers add it and replays remove
it.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Sequence

from bizzmq.errors import ConfigurationError, SignatureError, UnsignedError
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.protocol.secret_keys import Key, key_bytes, keys_text
from bizzmq.validation import checks

VARIABLE = "BIZZMQ_SIGNING_KEYS"
FILE_VARIABLE = "BIZZMQ_SIGNING_KEYS_FILE"
MIN_KEY_BYTES = 32
"""The length of the digest; a shorter key makes HMAC-SHA256 weaker (RFC 2104, section 3)."""

_SIGNED = re.compile(rb'(\{.*?),?"sig":"([A-Za-z0-9_-]{43})"\}', re.DOTALL)


class Signer:
    """Signs with the first key and accepts signatures of all keys, so that keys can be rotated without a gap.

    Args:
        keys: at least one key, each as bytes or as base64 text. The first one signs.

    Raises:
        ConfigurationError: there is no key, or a key is malformed or too short. The text does not contain the keys.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        given = checks.items(keys, "signing_keys must be a list of at least one key")
        self._keys = [_key(key, number) for number, key in enumerate(given, start=1)]

    def __repr__(self) -> str:
        return f"Signer({len(self._keys)} keys)"

    def sign(self, message_id: str, queue: str, envelope: bytes) -> bytes:
        """The signed envelope. The given one has no signature and no record of an error."""
        header, _, body = envelope.partition(b"\n")
        version, _, options = header.partition(b"\t")
        covered = options[:-1] if options else b"{"
        comma = b"," if len(covered) > 1 else b""
        signature = _mac(self._keys[0], version, message_id, queue, covered, body)
        return b'%b\t%b%b"sig":"%b"}\n%b' % (version, covered, comma, signature, body)

    def check(self, message_id: str, queue: str, envelope: bytes) -> None:
        """Check the signature of a stored envelope.

        Raises:
            UnsignedError: the envelope is not signed.
            SignatureError: no key has signed this message for this queue.
        """
        header, _, body = envelope.partition(b"\n")
        version, _, rest = header.partition(b"\t")
        options = rest.partition(b"\t")[0]
        found = _SIGNED.fullmatch(options)
        if found is None and b'"sig"' not in options:
            raise UnsignedError("the message is not signed, and this consumer accepts only signed messages")
        if found is None:
            raise SignatureError("the signature is wrong: it is malformed")
        covered, given = found.groups()
        if not any(
            hmac.compare_digest(given, _mac(key, version, message_id, queue, covered, body)) for key in self._keys
        ):
            raise SignatureError(
                "the signature is wrong: it was made with another key, or for another id, queue, options or body"
            )


def keys_from_environment() -> list[str] | None:
    """The keys for the commands; None if neither variable is set.

    BIZZMQ_SIGNING_KEYS contains the keys, or BIZZMQ_SIGNING_KEYS_FILE names a file with them: as base64 text, separated
    by commas or white space.

    Raises:
        ConfigurationError: both variables are set, or one is set without a valid key. So no pool accepts unsigned
            messages by mistake.
    """
    found = keys_text(VARIABLE, FILE_VARIABLE)
    if found is None:
        return None
    keys: list[str] = found.parts
    if not keys:
        raise ConfigurationError(f"{found.source} contains no key; unset it, or set at least one key")
    try:
        Signer(keys)
    except ConfigurationError as error:
        raise ConfigurationError(f"{found.source}: {error}") from None
    return keys


def _key(given: Key, number: int) -> bytes:
    key = key_bytes(given, f"signing key {number}")
    if len(key) < MIN_KEY_BYTES:
        raise ConfigurationError(f"signing key {number} has {len(key)} bytes; it needs {MIN_KEY_BYTES} random bytes")
    return key


def _mac(key: bytes, version: bytes, message_id: str, queue: str, covered: bytes, body: bytes) -> bytes:
    owner = owner_of(logical_queue(queue))
    parts = (b"bizzmq", version, message_id.encode("utf-8"), owner.encode("utf-8"), covered, body)
    # Each part is preceded by its length, so that two different messages never result in the same text.
    text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return base64.urlsafe_b64encode(hmac.digest(key, text, "sha256")).rstrip(b"=")
