"""Makes the connection that fits a URL: to one server, to a Sentinel master, or to a cluster."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Protocol, Sequence

from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.aio.connection.cluster import AsyncClusterConnection
from bizzmq.aio.connection.sentinel import AsyncSentinelConnection
from bizzmq.connection import group_url


class AnyAsyncConnection(Protocol):
    """The common interface of connections to one server and to several. See AsyncConnection."""

    url: str
    longest_block_s: float
    reply_s: float
    spans_nodes: bool

    async def at(self, key: str) -> AsyncConnection: ...

    on_open: Callable[[], None]

    @property
    def is_open(self) -> bool: ...

    async def execute(self, *args: Any, wait_s: float = 0.0) -> Any: ...

    async def transaction(self, *commands: Sequence[Any]) -> list[Any]: ...

    def drop(self) -> None: ...


def connect(url: str, *, before_open: Callable[[], Awaitable[None]] | None = None) -> AnyAsyncConnection:
    """A connection for this URL; it is opened when it is first used.

    Args:
        before_open: see AsyncConnection; only for the URL of one server.

    Raises:
        ConfigurationError: the URL is invalid.
    """
    if not group_url.is_group(url):
        return AsyncConnection(url, before_open=before_open)
    if group_url.parse(url).kind == group_url.SENTINEL:
        return AsyncSentinelConnection(url)
    return AsyncClusterConnection(url)
