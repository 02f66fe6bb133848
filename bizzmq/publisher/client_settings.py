"""The arguments of a client, checked: the same for blocking programs and for asyncio."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from bizzmq.connection.url import check_url
from bizzmq.embedded import server as embedded
from bizzmq.errors import ConfigurationError
from bizzmq.protocol.encryption import EncryptionKeys
from bizzmq.protocol.sealing import Sealer
from bizzmq.protocol.secret_keys import Key
from bizzmq.publisher.conversion import Encode
from bizzmq.utils import server_url
from bizzmq.validation import checks

FROM_ENVIRONMENT = "(from the environment)"
"""The default URL. It is not None, so that None, for example from an unset variable, is refused."""


class ClientSettings(NamedTuple):
    """What a client was made with.

    Attributes:
        url: the server's URL; for an embedded server as the user wrote it.
        is_embedded: whether the client has to start the server.
        sealer: compresses, encrypts and signs messages; None if nothing of that is asked for.
        limit: the most connections.
        encode: converts values that JSON cannot express, or None.
    """

    url: str
    is_embedded: bool
    sealer: Sealer | None
    limit: int
    encode: Encode | None


def checked_settings(
    redis_url: str,
    signing_keys: Sequence[Key] | None,
    max_connections: int,
    encode: Callable[[Any], Any] | None,
    compress_above_bytes: int | None,
    encryption_keys: EncryptionKeys | None,
) -> ClientSettings:
    """The arguments of a client as settings. Raises ConfigurationError."""
    if redis_url is FROM_ENVIRONMENT:
        redis_url = server_url.from_environment()
    redis_url = checks.secret("redis_url", redis_url)
    limit = checks.integer("max_connections", max_connections, 1)
    if encode is not None and not callable(encode):
        raise ConfigurationError(f"encode must be a function or None, not {checks.shown(encode)}")
    made = Sealer(signing_keys, compress_above_bytes, encryption_keys)
    sealer = made if made.changes_envelopes else None
    is_embedded = embedded.is_embedded(redis_url)
    return ClientSettings(redis_url if is_embedded else check_url(redis_url), is_embedded, sealer, limit, encode)
