"""The right kind of connection for each kind of address."""

from __future__ import annotations

from typing import Any, Callable, Protocol, Sequence

from bizzmq import address
from bizzmq.cluster import ClusterConnection
from bizzmq.connection import Connection
from bizzmq.sentinel import SentinelConnection


class AnyConnection(Protocol):
    """What is asked of a connection, whether it leads to one server or to several. See Connection."""

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
    """A connection to what this address names; it is opened when it is first used.

    Args:
        before_open: see Connection; only for the address of one server.

    Raises:
        ConfigurationError: no such address.
    """
    if not address.is_group(url):
        return Connection(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, before_open=before_open)
    kind = SentinelConnection if address.parse(url).kind == address.SENTINEL else ClusterConnection
    return kind(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
