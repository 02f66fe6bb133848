"""Encrypted bodies: AES-GCM with 256-bit keys, by the extra `encryption`.

A body is encrypted with the first key and decrypted with the key whose id is beside it, so keys can be rotated without
a gap. Each body has a random nonce of 96 bits; after 2^32 bodies a key should be replaced (NIST SP 800-38D, 8.3). The
id of the message and the name of its queue are authenticated, so no body can be moved to another message. A queue, its
shards and its dead-letter queue count as one queue.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import Any, Mapping, Sequence, Tuple, Union

from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.protocol.secret_keys import Key, key_bytes, keys_text

VARIABLE = "BIZZMQ_ENCRYPTION_KEYS"
FILE_VARIABLE = "BIZZMQ_ENCRYPTION_KEYS_FILE"
PREFIX = "aes-gcm:"
KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

EncryptionKeys = Union[Mapping[str, Key], Sequence[Tuple[str, Key]]]


class Cipher:
    """Encrypts bodies with the first key, and decrypts those of all keys.

    Args:
        keys: id -> key of 32 bytes, as bytes or as base64 text; at least one. The first one encrypts.

    Raises:
        ConfigurationError: there is no key, a key or an id is malformed, or `cryptography` is not installed. The text
            does not contain the keys.
    """

    def __init__(self, keys: EncryptionKeys) -> None:
        aesgcm = _aesgcm()
        pairs = list(keys.items()) if isinstance(keys, Mapping) else _pairs(keys)
        if not pairs:
            raise ConfigurationError("encryption_keys must have at least one key")
        self._keys = {_key_id(name): aesgcm(_key(name, key)) for name, key in pairs}
        self.key_id = _key_id(pairs[0][0])

    def __repr__(self) -> str:
        return f"Cipher({len(self._keys)} keys)"

    def knows(self, key_id: str) -> bool:
        """Whether a key has this id."""
        return key_id in self._keys

    def encrypt(self, message_id: str, queue: str, body: bytes) -> bytes:
        """The nonce, then the encrypted body with its tag."""
        nonce = os.urandom(NONCE_BYTES)
        sealed: bytes = self._keys[self.key_id].encrypt(nonce, body, _bound_to(message_id, queue))
        return nonce + sealed

    def decrypt(self, key_id: str, message_id: str, queue: str, sealed: bytes) -> bytes:
        """The body. Raises DecodeError: it was changed, or belongs to another message, queue or key."""
        try:
            body: bytes = self._keys[key_id].decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(message_id, queue)
            )
        except Exception as error:
            raise DecodeError(
                f"the encrypted body is wrong: it was changed, or was made with another key than {key_id!r}, "
                "or for another id or queue"
            ) from error
        return body


def keys_from_environment() -> list[tuple[str, str]] | None:
    """The keys for pools and commands; None if neither variable is set.

    BIZZMQ_ENCRYPTION_KEYS contains the keys as `ID:BASE64`, separated by commas or white space, or
    BIZZMQ_ENCRYPTION_KEYS_FILE names a file with them.

    Raises:
        ConfigurationError: both variables are set, or one is set without a valid key.
    """
    found = keys_text(VARIABLE, FILE_VARIABLE)
    if found is None:
        return None
    keys = []
    for part in found.parts:
        name, colon, key = part.partition(":")
        if not colon:
            raise ConfigurationError(f"{found.source}: each key must be ID:BASE64")
        keys.append((name, key))
    try:
        Cipher(keys)
    except ConfigurationError as error:
        raise ConfigurationError(f"{found.source}: {error}") from None
    return keys


def checked_keys(keys: Any) -> EncryptionKeys:
    """The keys, which a cipher takes. Raises ConfigurationError."""
    Cipher(keys)
    checked: EncryptionKeys = keys
    return checked


def _aesgcm() -> Any:
    try:
        return importlib.import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
    except ImportError:
        raise ConfigurationError("encrypted bodies need cryptography: install the extra `encryption`") from None


def _pairs(keys: Any) -> list[tuple[Any, Any]]:
    try:
        if isinstance(keys, (str, bytes)):
            raise TypeError
        return [(name, key) for name, key in keys]
    except (TypeError, ValueError):
        raise ConfigurationError("encryption_keys must be a mapping of ids to keys, or pairs of both") from None


def _key_id(name: Any) -> str:
    if not isinstance(name, str) or not _KEY_ID.match(name):
        raise ConfigurationError("the id of an encryption key must have 1 to 64 of A-Z a-z 0-9 . _ -")
    return name


def _key(name: Any, given: Any) -> bytes:
    key = key_bytes(given, f"encryption key {name!r}")
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"encryption key {name!r} has {len(key)} bytes; it needs {KEY_BYTES} random bytes")
    return key


def _bound_to(message_id: str, queue: str) -> bytes:
    owner = owner_of(logical_queue(queue))
    return b"bizzmq:%d:%b:%b" % (len(message_id), message_id.encode("utf-8"), owner.encode("utf-8"))
