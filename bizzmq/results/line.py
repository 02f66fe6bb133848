"""A line: the connections to one server by which a wait learns the results of one group of keys."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Any, Callable, Hashable, Iterator, List

from bizzmq.connection.base import Connection
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovedError, SlotMovingError
from bizzmq.connection.factory import AnyConnection
from bizzmq.connection.retry import CURABLE, Outage
from bizzmq.errors import BrokerUnusableError, WrongTypeError
from bizzmq.results.subscription import Subscription
from bizzmq.results.wait import FIRST_S, POLL_S, SLICE_S, Command, Look, ResultWait
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.client")
PASSING = (*CURABLE, SlotMovedError, SlotMovingError)
"""Errors after which a wait opens its connections again, and goes on."""


class Line:
    """Waits for the results of one group. Subscriptions and commands need a connection each (RESP2).

    Args:
        commands: reads results and messages.
        subscription_of: the subscription to the server of a key. Other lines may use it and `commands`, too, one after
            the other, in the same thread.

    Attributes:
        due_s: when to try again after a failure, or to look for results that no notice has told of; monotonic seconds.
    """

    def __init__(
        self,
        commands: AnyConnection,
        subscription_of: Callable[[bytes], Subscription],
        wait: ResultWait,
        group: Hashable,
        group_of: Callable[[bytes], Hashable],
    ) -> None:
        self._commands, self._subscription_of = commands, subscription_of
        self._wait, self._group, self._group_of = wait, group, group_of
        self._outage = Outage(_logger, "waiting for results")
        self._subscription: Subscription | None = None
        self._has_begun = self._polls = False
        self.due_s = self._look_s = self._read_s = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether a result of the group is missing."""
        return self._group in self._wait.groups

    def descriptor(self) -> int | None:
        """The descriptor that becomes readable with a notice; -1 if one is there; None if there is no subscription."""
        return None if self._subscription is None else self._subscription.connection.pending()

    def step(self) -> None:
        """Take the notices that have come, and look for results if it is time to."""
        if not self.is_waiting:
            return  # another line has brought the rest
        with self._retried():
            if not self._has_begun:
                if clock.monotonic() >= self.due_s:
                    self._begin()
                return
            self._take_notices()
            now_s = clock.monotonic()
            if now_s >= self.due_s and self.is_waiting:
                if self._subscription is not None:
                    self._subscription.check(self._wait.note)
                self._read_all()
                if now_s >= self._look_s:
                    self._look()
                    self._look_s = now_s + min(SLICE_S, self._commands.longest_block_s)
                self.due_s = min(self._look_s, now_s + POLL_S) if self._polls else self._look_s

    def read_since(self, ended_s: float) -> None:
        """Read the results, unless they have been read since the wait ended: a notice may be missing."""
        with self._retried():
            if self._has_begun and self._read_s < ended_s:
                self._read_all()

    def _begin(self) -> None:
        try:
            self._subscribe_and_read()
        except CommandRefusedError as error:  # this user may not subscribe
            log(_logger, logging.WARNING, "results are polled for", error=str(error))
            self._polls = True
            self._read_all()
        self._has_begun = True
        self.due_s = self._look_s = clock.monotonic() + FIRST_S

    def _subscribe_and_read(self) -> None:
        parts, begun_s = self._wait.parts(self._group), clock.monotonic()
        key = parts[0][0]
        subscription = self._subscription_of(key)
        try:
            if len(parts[0]) > 1:
                raise LookupError
            self._wait.take([key], [subscription.begin_and_read(key, self._wait.note)])
            self._read_s = begun_s
        except LookupError:
            for channels in parts:
                subscription.begin(channels, self._wait.note)
            self._read_all()
        self._subscription = subscription

    def _take_notices(self) -> None:
        if self._subscription is not None:
            self._subscription.take(self._wait.note)
        unread, self._wait.unread = self._wait.unread, []
        for key in unread:
            self._read([key])

    def _read_all(self) -> None:
        self._read_s = clock.monotonic()
        for keys in self._wait.parts(self._group):
            self._read(keys)

    def _read(self, keys: List[bytes]) -> None:
        self._wait.take(keys, self._at(keys[0]).execute("MGET", *keys))

    def _look(self) -> None:
        """Find the messages of the group that have ended without a result, or keep none."""
        look = Look(self._wait, self._wait.unresolved(self._group))
        for part in look.parts(self._group_of):
            for (awaited, _), reply in zip(part, self._replies([command for _, command in part])):
                look.take(awaited, reply)
        for awaited in look.missing():
            for key in awaited.places:
                self._read_one(key)
            look.end(awaited)

    def _read_one(self, key: bytes) -> None:
        """Read a result of a message that has ended: it may have been stored in the meantime."""
        try:
            self._wait.take([key], [self._at(key).execute("GET", key)])
        except WrongTypeError as error:
            self._wait.refused(key, error)

    def _replies(self, commands: List[Command]) -> List[Any]:
        connection = self._commands.at(str(commands[0][1]))
        try:
            return connection.execute_all(*commands)
        except CommandRefusedError:  # this user may not read messages
            return connection.execute_all(*[("HEXISTS", *command[1:]) for command in commands])

    def _at(self, key: bytes) -> Connection:
        return self._commands.at(key.decode("ascii", "replace"))

    @contextmanager
    def _retried(self) -> Iterator[None]:
        """After a failure that may pass, the connections are opened again later. Others are raised."""
        try:
            yield
            self._outage.over()
        except (CommandRefusedError, BrokerUnusableError):
            self.drop()
            raise
        except PASSING as error:
            self.drop()
            self.due_s = clock.monotonic() + self._outage.failed(error)

    def end(self) -> None:
        """The wait is over."""
        if self._subscription is not None:
            self._subscription.end()

    def drop(self) -> None:
        """Close the connections, and begin again with the next step."""
        if self._subscription is not None:
            self._subscription.connection.drop()
        self._subscription, self._has_begun, self._polls = None, False, False
        self._commands.drop()
