"""Makes the connection that fits a URL: to one server, to a Sentinel master, or to a cluster."""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence

from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.connection import ClusterConnection
from bizzmq.connection.sentinel import SentinelConnection


class AnyConnection(Protocol):
    """The common interface of connections to one server and to several. See Connection."""

    url: str
    longest_block_s: float
    reply_s: float
    spans_nodes: bool

    def at(self, key: str) -> Connection: ...

    on_open: Callable[[], None]

    @property
    def is_open(self) -> bool: ...

    def refresh(self) -> None: ...

    def execute(self, *args: Any) -> Any: ...

    def execute_plain(self, command: tuple[str | bytes, ...]) -> Any: ...

    def transaction(self, *commands: Sequence[Any]) -> list[Any]: ...

    def block(self, keys: Sequence[str], timeout_s: float) -> None: ...

    def unblocked(self) -> object: ...

    def wait(self, timeout_s: float, *others: int) -> bool: ...

    def drop(self) -> None: ...


def connect(
    url: str,
    *,
    timeout_s: float = 5.0,
    connect_timeout_s: float = 2.0,
    before_open: Callable[[], None] | None = None,
) -> AnyConnection:
    """A connection for this URL; it is opened when it is first used.

    Args:
        before_open: see Connection; only for the URL of one server.

    Raises:
        ConfigurationError: the URL is invalid.
    """
    if not group_url.is_group(url):
        return Connection(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, before_open=before_open)
    kind = SentinelConnection if group_url.parse(url).kind == group_url.SENTINEL else ClusterConnection
    return kind(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
