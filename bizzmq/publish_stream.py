"""The requests that publish many messages: how they are cut, and sent ahead while Redis executes the last one."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from bizzmq.errors import BizzMQError

BATCH_MESSAGES = 500
SHARD_BATCH_MESSAGES = 100
BATCH_BYTES = 256 * 1024
"""What one request publishes at most, a single larger message apart: so none holds Redis for more than about 2 ms."""
UNDER_WAY = 2
"""Requests that were sent and not answered, at most: one that Redis executes, and one that it finds when it is done."""


class Request(NamedTuple):
    """One numbered request of a publisher.

    Attributes:
        number: higher than that of the publisher's request before.
        message_ids: of its messages, in order.
        envelopes: of its messages, in order.
    """

    number: int
    message_ids: Sequence[str]
    envelopes: Sequence[bytes]

    def entries(self) -> list[str | bytes]:
        """Ids and envelopes in turn."""
        return [part for pair in zip(self.message_ids, self.envelopes) for part in pair]


class PublishStream:
    """Sends ahead as long as all goes well. What does not is done again one by one, by `store`, which knows what to do.

    That is safe because Redis executes none of them behind one that it has not executed (publish.lua).

    Args:
        send: sends a request, given the number of the one that must have been executed before it, or 0.
        is_stored: reads the next reply; whether that request was executed.
        store: has one request executed that may have been already. Raises if it cannot be.
        drop: forgets the connection, with all replies that are under way.
    """

    def __init__(
        self,
        send: Callable[[Request, int], None],
        is_stored: Callable[[], bool],
        store: Callable[[Request], None],
        drop: Callable[[], None],
    ) -> None:
        self._send = send
        self._is_stored = is_stored
        self._store = store
        self._drop = drop
        self._under_way: deque[Request] = deque()

    def stored(self, requests: Iterable[Request]) -> Iterator[Request]:
        """Each request once it is stored, in order. Raises as `store` does; what it has given by then is stored."""
        under_way = self._under_way
        try:
            for request in requests:
                before = under_way[-1].number if under_way else 0
                under_way.append(request)
                if not _try(partial(self._send, request, before)):
                    yield from self._one_by_one()
                elif len(under_way) == UNDER_WAY:
                    yield from self._next()
            while under_way:
                yield from self._next()
        finally:
            if under_way:
                self._drop()  # their replies must not answer other commands

    def _next(self) -> Iterator[Request]:
        """The first one under way; all of them if that was not stored."""
        if _try(self._is_stored):
            yield self._under_way.popleft()
        else:
            yield from self._one_by_one()

    def _one_by_one(self) -> Iterator[Request]:
        self._drop()
        while self._under_way:
            self._store(self._under_way[0])
            yield self._under_way.popleft()


def _try(action: Callable[[], object]) -> bool:
    """Whether it worked. What has gone wrong is met again by `store`, and dealt with there."""
    try:
        return action() is not False
    except BizzMQError:
        return False


def batches(envelopes: Sequence[bytes], most: int = BATCH_MESSAGES) -> Iterator[Sequence[bytes]]:
    """The envelopes in order, in runs of at most so many that fit into one request."""
    start = 0
    while start < len(envelopes):
        batch = envelopes[start : start + most]
        while len(batch) > 1 and sum(map(len, batch)) > BATCH_BYTES:
            batch = batch[: len(batch) // 2]
        yield batch
        start += len(batch)
