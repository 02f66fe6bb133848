"""Connections for several threads: a user takes an idle one, makes one, or waits for one.

There is no lock that could be left locked. The reservoir does not hold a thing that is in use. Its user gives it back
when all went well. An interrupted user gives nothing back, so that nobody gets what is half done. Living things are
counted anew each time.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from types import CodeType, FrameType
from typing import Any, Callable, Collection, Generic, MutableSequence, Protocol, TypeVar

from bizzmq import clock
from bizzmq.errors import ClosedError, ConnectionLimitError
from bizzmq.forks import renew_in_children

LIMIT = 10
"""Things there are at once, at most."""
PATIENCE_S = 10.0
"""How long to wait for one that is in use."""
IDLE_S = 60.0
"""A thing that was idle for this time is closed as soon as another one is given back."""
_LOOK_S = 0.25
"""How often to look whether a thing was lost by somebody who was interrupted, and gave nothing back."""


class Place:
    """Stands for one thing, and lives as long as it."""

    __slots__ = ("__weakref__", "idle_since_s", "is_lost")

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self.is_lost = False


class Reusable(Protocol):
    """What one user at a time may have."""

    place: Place

    def close(self) -> None: ...


T = TypeVar("T", bound=Reusable)


class Reservoir(Generic[T]):
    """Things that one user at a time may have, such as connections. A forked child finds none, and makes its own.

    Args:
        users: the code of all functions that take from here. Who takes one while the same thread has one already, as
            a signal handler does that has interrupted its thread, does not wait: nobody else could give it back.
        limit: how many things there may be at once, those of nested users not counted.
    """

    def __init__(
        self,
        make: Callable[[], T],
        users: Collection[CodeType] = (),
        *,
        limit: int = LIMIT,
        patience_s: float = PATIENCE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._make = make
        self._users = users
        self._limit = limit
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._closed = False
        self.forget()
        renew_in_children(self)

    def forget(self) -> None:
        """Begin without any."""
        self._idle: deque[T] = deque()
        self._places: list[weakref.ref[Place]] = []
        self._waiting: deque[threading.Lock] = deque()

    def take(self) -> T:
        """One that nobody else has; the last one given back, if there is one.

        Raises:
            ConnectionLimitError: all are in use, and none was given back in time.
            ClosedError: the reservoir is closed.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._make_or_wait()

    def give_back(self, thing: T) -> None:
        """Let others have it."""
        self._idle.append(thing)
        if self._closed:
            self.close()
        elif self._waiting or len(self._idle) > 1:
            self._tidy(thing)

    def lose(self, thing: T) -> None:
        """Close what its user was interrupted with; nobody gets it again."""
        thing.place.is_lost = True
        thing.close()

    def close(self) -> None:
        """Close all idle ones now, and each other one when it is given back. May be called again."""
        self._closed = True
        while True:
            try:
                thing = self._idle.pop()
            except IndexError:
                return
            thing.close()

    def _make_or_wait(self) -> T:
        give_up_s = clock.monotonic() + self._patience_s
        while True:
            if self._closed:
                raise ClosedError("this client is closed; make a new one")
            thing = self._try_to_make()
            if thing is None:
                thing = self._wait(min(_LOOK_S, give_up_s - clock.monotonic()))
            if thing is not None:
                return thing
            if clock.monotonic() >= give_up_s:
                gc.collect()  # what is lost is in cycles, perhaps
                if self._count() < self._limit:
                    continue
                raise ConnectionLimitError(self._limit, self._patience_s)

    def _try_to_make(self) -> T | None:
        """A new one, if one more is allowed. Two threads that try at once may find that neither is, and try again."""
        place = Place()
        self._places.append(weakref.ref(place))
        if self._count() > self._limit and not self._is_nested():
            return None
        thing = self._make()
        thing.place = place
        return thing

    def _count(self) -> int:
        """How many there are, with those that are just being made."""
        count = 0
        for reference in list(self._places):
            place = reference()
            if place is not None and not place.is_lost:
                count += 1
            else:
                _discard(self._places, reference)
        return count

    def _is_nested(self) -> bool:
        """Whether a function that has taken something is interrupted by, or waits for, the one that takes now."""
        count = 0
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - no public name
        while frame is not None and count < 2:
            count += frame.f_code in self._users
            frame = frame.f_back
        return count > 1

    def _wait(self, timeout_s: float) -> T | None:
        """One that is given back within this time."""
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append(turn)
        try:
            if not self._idle:
                turn.acquire(timeout=max(0.0, timeout_s))
            return self._idle.pop()
        except IndexError:
            return None
        finally:
            _discard(self._waiting, turn)

    def _tidy(self, thing: T) -> None:
        """Call the next one who waits, and close what nobody has needed for long."""
        try:
            self._waiting.popleft().release()
        except IndexError:
            self._close_old(thing)

    def _close_old(self, thing: T) -> None:
        now_s = thing.place.idle_since_s = clock.monotonic()
        try:
            oldest = self._idle.popleft()
        except IndexError:
            return  # somebody has taken it meanwhile
        if oldest is not thing and 0 < oldest.place.idle_since_s < now_s - self._idle_s:
            oldest.close()
            return
        oldest.place.idle_since_s = oldest.place.idle_since_s or now_s
        self._idle.appendleft(oldest)
        if self._closed:  # meanwhile, and it was out of sight
            self.close()


def _discard(things: MutableSequence[Any], thing: object) -> None:
    try:
        things.remove(thing)
    except ValueError:
        return  # somebody else has just done it
