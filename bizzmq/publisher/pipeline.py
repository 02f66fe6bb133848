"""Requests that publish many messages: how messages are divided into them, and how they are pipelined."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Callable, Generic, Iterable, Iterator, NamedTuple, Sequence, TypeVar, Union

from bizzmq.broker.checked_publish import CheckedRequest
from bizzmq.errors import BizzMQError

BATCH_MESSAGES = 500
SHARD_BATCH_MESSAGES = 100
BATCH_BYTES = 256 * 1024
"""The largest request, except for a single larger message. So no request blocks Redis for more than about 2 ms."""
MAX_IN_FLIGHT = 2
"""The most requests without a reply: one that Redis executes, and one that is there when it is done."""


class Request(NamedTuple):
    """One numbered request of a publisher.

    Attributes:
        number: higher than the number of the publisher's previous request.
        message_ids: the ids of its messages, in order.
        envelopes: the envelopes of its messages, in order.
    """

    number: int
    message_ids: Sequence[str]
    envelopes: Sequence[bytes]

    def entries(self) -> list[str | bytes]:
        """Ids and envelopes, alternating."""
        return [part for pair in zip(self.message_ids, self.envelopes) for part in pair]


R = TypeVar("R", bound=Union[Request, CheckedRequest])


class PublishPipeline(Generic[R]):
    """Sends requests before the replies to earlier ones arrive. After an error, `store` repeats them one by one.

    That is safe because Redis does not execute a request if it has not executed the one before (publish.lua and
    publish_checked.lua).

    Args:
        send: sends a request, given the number of the request that must have been executed before it, or 0.
        is_stored: reads the next reply, which is that of this request; True if it was executed.
        store: executes a request that may have been executed already. Raises if that fails.
        drop: closes the connection, and so discards all outstanding replies.
    """

    def __init__(
        self,
        send: Callable[[R, int], None],
        is_stored: Callable[[R], bool],
        store: Callable[[R], None],
        drop: Callable[[], None],
    ) -> None:
        self._send = send
        self._is_stored = is_stored
        self._store = store
        self._drop = drop
        self._in_flight: deque[R] = deque()

    def stored(self, requests: Iterable[R]) -> Iterator[R]:
        """Each request once it is stored, in order. Raises as `store` does; the requests yielded before are stored."""
        in_flight = self._in_flight
        try:
            for request in requests:
                before = in_flight[-1].number if in_flight else 0
                in_flight.append(request)
                if not _succeeds(partial(self._send, request, before)):
                    yield from self._one_by_one()
                elif len(in_flight) == MAX_IN_FLIGHT:
                    yield from self._next()
            while in_flight:
                yield from self._next()
        finally:
            if in_flight:
                self._drop()  # their replies must not answer other commands

    def _next(self) -> Iterator[R]:
        """The first request in flight if it was stored; else all of them, after they have been repeated."""
        if _succeeds(partial(self._is_stored, self._in_flight[0])):
            yield self._in_flight.popleft()
        else:
            yield from self._one_by_one()

    def _one_by_one(self) -> Iterator[R]:
        self._drop()
        while self._in_flight:
            self._store(self._in_flight[0])
            yield self._in_flight.popleft()


def _succeeds(action: Callable[[], object]) -> bool:
    """Whether an action succeeds. If it fails, `store` meets the same error and handles it."""
    try:
        return action() is not False
    except BizzMQError:
        return False


def batches(envelopes: Sequence[bytes], most: int = BATCH_MESSAGES) -> Iterator[Sequence[bytes]]:
    """The envelopes in order, divided into requests of at most `most` envelopes and about BATCH_BYTES."""
    start = 0
    while start < len(envelopes):
        batch = envelopes[start : start + most]
        while len(batch) > 1 and sum(map(len, batch)) > BATCH_BYTES:
            batch = batch[: len(batch) // 2]
        yield batch
        start += len(batch)
