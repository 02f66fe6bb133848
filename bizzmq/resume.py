"""Loops that go on where an earlier delivery of their message has stopped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile, islice
from typing import Any, Callable, Generic, Iterable, Iterator, TypeVar

from bizzmq.errors import CheckpointError, Draining
from bizzmq.message import Message
from bizzmq.worker_state import WorkerState

T = TypeVar("T")


class ResumedLoop(Generic[T]):
    """The items that are not done yet, for one `for` statement: what `Context.resume` returns.

    An item counts as done when the loop asks for the next one.

    Attributes:
        state: JSON that is saved together with the position, for what the loop adds up: `loop.state += row.amount`. In
            the next delivery it has the value that belongs to the saved position.
    """

    def __init__(
        self,
        worker: WorkerState,
        message: Message,
        name: str,
        iterable: Iterable[T],
        every: int,
        key: Callable[[T], Any] | None,
        state: Any,
    ) -> None:
        self._worker, self._message, self._name = worker, message, name
        self._iterable, self._every, self._key = iterable, every, key
        saved: Any = worker.records.load(message).loops.get(name)
        if not isinstance(saved, list) or len(saved) != 2:
            saved = [None, state]
        self._position: Any = saved[0]
        self.state: Any = saved[1]

    def __iter__(self) -> Iterator[T]:
        worker, key, every, unsaved = self._worker, self._key, self._every, 0
        if key is None and type(self._position) is not int:
            self._position = 0
        for item in self._rest():
            yield item
            self._position = self._position + 1 if key is None else key(item)
            unsaved += 1
            is_draining = worker.drain_at_s is not None
            if unsaved >= every or is_draining:
                self._save()
                unsaved = 0
            if is_draining:
                raise Draining(f"the pool drains: the next delivery of {self._message.id} goes on with this loop")
        if unsaved:
            self._save()

    def _save(self) -> None:
        records = self._worker.records
        checkpoint = records.load(self._message)
        loops = {**checkpoint.loops, self._name: [self._position, self.state]}
        records.save(self._message, checkpoint._replace(loops=loops))

    def _rest(self) -> Iterator[T]:
        iterable, position, key = self._iterable, self._position, self._key
        if key is not None:
            return (
                iter(iterable) if position is None else dropwhile(lambda item: _is_done(key(item), position), iterable)
            )
        if isinstance(iterable, Sequence):
            return map(iterable.__getitem__, range(position, len(iterable)))
        return islice(iterable, position, None)


def _is_done(found: Any, position: Any) -> bool:
    try:
        return bool(found <= position)
    except TypeError:
        raise CheckpointError(
            f"the keys of a resumed loop must have an order, also as JSON: {found!r} after {position!r}"
        ) from None
