"""Connections that wait for results. They are not those that publish, so that no wait keeps a publisher waiting."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from types import CodeType
from typing import Any, Callable, Dict, Hashable, Iterator, List

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.slots import slot_of
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovedError, SlotMovingError, name_wrong_key
from bizzmq.connection.retry import CURABLE, Outage
from bizzmq.errors import BizzMQError, BrokerReplyError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.results.wait import FIRST_S, SLICE_S, Command, Look, ResultWait, keys_of, read_command
from bizzmq.utils import clock
from bizzmq.utils.object_pool import ObjectPool, PoolEntry

_logger = logging.getLogger("bizzmq.client")
PASSING = (*CURABLE, SlotMovedError, SlotMovingError)
"""Errors after which a wait opens its connection again, and goes on."""
_SWEEP_SHARE = 10
"""Results that no blocking command waits for are read at most in this part of the time."""
LIMIT = 100
"""The most threads of a client that wait at the same time; each has a connection of its own."""


class ResultReader:
    """The connections of one wait: one to each server, in a cluster one for each slot."""

    pool_entry: PoolEntry

    def __init__(self, new_broker: Callable[[], Broker]) -> None:
        self._new_broker = new_broker
        self._first = new_broker()
        self._spans_nodes = self._first.connection.spans_nodes
        self._brokers: Dict[Hashable, Broker] = {"": self._first}

    def group_of(self, key: bytes) -> Hashable:
        """The group of a key: one command reads the keys of a group."""
        return slot_of(key) if self._spans_nodes else ""

    def lines(self, wait: ResultWait) -> List[Line]:
        """A connection for each group of a wait."""
        return [Line(self._broker_of(group), wait, group, self.group_of) for group in wait.groups]

    def _broker_of(self, group: Hashable) -> Broker:
        if group not in self._brokers:
            self._brokers[group] = self._new_broker()
        return self._brokers[group]

    def close(self) -> None:
        """Close all connections."""
        for broker in self._brokers.values():
            broker.connection.drop()


class Line:
    """One connection that waits for the results of one group.

    Attributes:
        slice_s: for how long to block the next time, seconds.
        late_s: when the reply that is due is late; monotonic seconds.
        retry_at_s: when to try again after a failure; monotonic seconds.
    """

    def __init__(
        self, broker: Broker, wait: ResultWait, group: Hashable, group_of: Callable[[bytes], Hashable]
    ) -> None:
        self._connection = broker.connection
        self._wait = wait
        self._group = group
        self._group_of = group_of
        self._outage = Outage(_logger, "waiting for results")
        self._blocked: Connection | None = None
        self._command: Command = ()
        self.late_s = self.retry_at_s = self._sweep_at_s = 0.0
        self._look_at_s = clock.monotonic() + SLICE_S
        self.slice_s = FIRST_S

    @property
    def is_blocked(self) -> bool:
        """Whether a reply is due."""
        return self._blocked is not None

    @property
    def is_waiting(self) -> bool:
        """Whether a result of the group is missing."""
        return self._group in self._wait.groups

    def descriptor(self) -> int:
        """The descriptor that becomes readable with the reply; -1 if the reply is there, or late."""
        assert self._blocked is not None
        return -1 if clock.monotonic() >= self.late_s else self._blocked.pending()

    def block(self, block_s: float) -> None:
        """Ask for the first results, and wait for them at most `block_s` seconds."""
        with self._retried():
            connection = self._connection.at(self._wait.first_key(self._group).decode("ascii", "replace"))
            self._command = self._wait.blocking(self._group, min(block_s, self._connection.longest_block_s))
            connection.refresh()
            connection.send(self._command)
            self._blocked = connection
            self.late_s = clock.monotonic() + block_s + self._connection.reply_s

    def receive(self) -> None:
        """Take the reply to `block`, and what has come beside it."""
        connection, self._blocked = self._blocked, None
        assert connection is not None
        before = len(self._wait.resolved)
        with self._retried():
            if not connection.wait(0.0):
                raise BrokerUnavailableError("no reply to a blocking command in time")
            try:
                self._wait.take(connection.read())
            except BrokerReplyError as error:
                self._read_apart(keys_of(self._command), error)
            began_s = clock.monotonic()
            is_quiet = len(self._wait.resolved) == before
            if is_quiet or began_s >= self._sweep_at_s:
                for command in self._wait.rest(self._group):
                    self._read(command)
                now_s = clock.monotonic()
                self._sweep_at_s = now_s + (now_s - began_s) * _SWEEP_SHARE
            if is_quiet or began_s >= self._look_at_s:
                self._look()
                self.slice_s, self._look_at_s = self._wait.slice_s(), clock.monotonic() + SLICE_S

    def _look(self) -> None:
        """Find the messages of the group that have ended without a result, or keep none."""
        look = Look(self._wait, self._wait.unresolved(self._group))
        for part in look.parts(self._group_of):
            for (awaited, _), reply in zip(part, self._replies([command for _, command in part])):
                look.take(awaited, reply)
        missing = look.missing()
        for command in look.again(missing, self._group_of):
            self._read(command)
        for awaited in missing:
            look.end(awaited)

    def _replies(self, commands: List[Command]) -> List[Any]:
        connection = self._connection.at(str(commands[0][1]))
        try:
            return connection.execute_all(*commands)
        except CommandRefusedError:  # this user may not read messages
            return connection.execute_all(*[("HEXISTS", *command[1:]) for command in commands])

    def _read(self, command: Command) -> None:
        keys = keys_of(command)
        try:
            self._wait.take(self._connection.at(keys[0].decode("ascii", "replace")).execute(*command))
        except BrokerReplyError as error:
            self._read_apart(keys, error)

    def _read_apart(self, keys: List[bytes], error: BrokerReplyError) -> None:
        """Read results of which one cannot be read: its key has the wrong type, and Redis does not say which."""
        if "WRONGTYPE" not in str(error):
            raise error
        if len(keys) == 1:
            key = keys[0].decode("ascii", "replace")
            self._wait.refused(keys[0], name_wrong_key(error, ("XRANGE", key), self._type_of))
            return
        middle = len(keys) // 2
        self._read(read_command(keys[:middle]))
        self._read(read_command(keys[middle:]))

    def _type_of(self, key: str) -> str:
        return str(self._connection.at(key).execute("TYPE", key).decode())

    @contextmanager
    def _retried(self) -> Iterator[None]:
        """After a failure that may pass, the connection is opened again later. Others are raised."""
        try:
            yield
            self._outage.over()
        except (CommandRefusedError, BrokerUnusableError):
            self.drop()
            raise
        except PASSING as error:
            self.drop()
            self.retry_at_s = clock.monotonic() + self._outage.failed(error)

    def drop(self) -> None:
        """Close the connection. A reply that is still due is not read."""
        self._blocked = None
        self._connection.drop()


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
