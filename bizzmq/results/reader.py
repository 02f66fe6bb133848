"""Connections that wait for results. They are not those that publish, so that no wait keeps a publisher waiting."""

from __future__ import annotations

import math
from contextlib import contextmanager
from types import CodeType
from typing import Any, Callable, Dict, Hashable, Iterator, List

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.slots import slot_of
from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.results.line import Line
from bizzmq.results.subscription import Subscription
from bizzmq.results.wait import ResultWait
from bizzmq.utils import clock
from bizzmq.utils.object_pool import ObjectPool, PoolEntry

LIMIT = 100
"""The most threads of a client that wait at the same time; each has connections of its own."""


class ResultReader:
    """The connections of one wait: one for commands and one for notices, in a cluster to each node."""

    pool_entry: PoolEntry

    def __init__(self, new_broker: Callable[[], Broker]) -> None:
        self._commands, self._notices = new_broker().connection, new_broker().connection
        self._subscriptions: Dict[Connection, Subscription] = {}

    def group_of(self, key: bytes) -> Hashable:
        """The group of a key: one command reads the keys of a group."""
        return slot_of(key) if self._commands.spans_nodes else ""

    def lines(self, wait: ResultWait) -> List[Line]:
        """A line for each group of a wait."""
        return [Line(self._commands, self._subscription_of, wait, group, self.group_of) for group in wait.groups]

    def _subscription_of(self, key: bytes) -> Subscription:
        connection = self._notices.at(key.decode("ascii", "replace"))
        found = self._subscriptions.get(connection)
        if found is None:
            found = self._subscriptions[connection] = Subscription(connection)
        return found

    def close(self) -> None:
        """Close all connections."""
        self._commands.drop()
        self._notices.drop()


class ResultReaders:
    """Lends the connections of a client that wait for results.

    Args:
        new_broker: opens a connection.
        read_shards: returns the names of a queue's shards.
        require_open: raises ClosedError if the client is closed.
    """

    _SHARDS_S = 60.0

    def __init__(
        self,
        new_broker: Callable[[], Broker],
        read_shards: Callable[[str], List[str]],
        require_open: Callable[[], None],
    ) -> None:
        self._pool = ObjectPool(lambda: ResultReader(new_broker), (_lending_code(),), limit=LIMIT)
        self._read_shards = read_shards
        self._shards: Dict[str, tuple[float, List[str]]] = {}
        self.require_open = require_open

    def shards_of(self, queue: str) -> List[str]:
        """The names of a queue's shards, read once a minute.

        Raises:
            BrokerUnavailableError: Redis is unavailable, and they were never read.
        """
        read_s, shards = self._shards.get(queue, (-math.inf, []))
        now_s = clock.monotonic()
        if now_s - read_s > self._SHARDS_S:
            try:
                shards = self._read_shards(queue)
            except BrokerUnavailableError:
                if not shards:
                    raise
            self._shards[queue] = (now_s, shards)
        return shards

    @contextmanager
    def lend(self) -> Iterator[ResultReader]:
        """Connections for one wait."""
        reader = self._pool.acquire()
        try:
            yield reader
        except (BizzMQError, TimeoutError, GeneratorExit):
            self._pool.release(reader)
            raise
        except BaseException:
            self._pool.discard(reader)
            raise
        self._pool.release(reader)

    def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        self._pool.close()


def _lending_code() -> CodeType:
    lend: Any = ResultReaders.lend
    code: CodeType = lend.__wrapped__.__code__
    return code
