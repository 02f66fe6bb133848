"""Undoes lasting faults when their time is over, in threads: a failover may take long."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Callable

from bizzmq.testing.strike import Hit, Kind

LONGEST_S = 120.0
"""The longest time that undoing one fault may take at the end, in seconds."""


@dataclass
class _Lasting:
    """One lasting fault. `healed` is called after it is undone; both run in a thread of their own if it has a group."""

    kind: Kind
    hit: Hit
    until_s: float
    healed: Callable[[], object]
    error: BaseException | None = None
    thread: threading.Thread | None = field(default=None, repr=False)

    def begin(self) -> None:
        """Start to undo it. A server or pool takes seconds to come back; the engine goes on in the meantime."""
        if not self.kind.alone_in:
            self._heal()
            return
        self.thread = threading.Thread(target=self._heal, name=f"heals {self.kind.name}", daemon=True)
        self.thread.start()

    @property
    def is_over(self) -> bool:
        return self.thread is None or not self.thread.is_alive()

    def _heal(self) -> None:
        try:
            if self.hit.heal is not None:
                self.hit.heal()
            self.healed()
        except Exception as error:  # noqa: BLE001 - it is raised in the engine
            self.error = error


class Healing:
    """All lasting faults. At most one of each group lasts at any time."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._lasting: list[_Lasting] = []
        self._healing: list[_Lasting] = []

    def add(self, kind: Kind, hit: Hit, until_s: float, healed: Callable[[], object]) -> None:
        """Schedule a fault to be undone at this time (monotonic seconds)."""
        self._lasting.append(_Lasting(kind, hit, until_s, healed))

    def is_free(self, group: str) -> bool:
        """Whether no fault of this group lasts or is being undone."""
        return not group or all(one.kind.alone_in != group for one in self._lasting + self._healing)

    @property
    def is_outage(self) -> bool:
        """Whether servers are unavailable or still coming back."""
        return any(one.kind.is_outage for one in self._lasting + self._healing)

    def tick(self) -> None:
        """Start to undo the faults whose time is over. Raises the error of an earlier one that could not be undone."""
        self._begin(time.monotonic())
        over = [one for one in self._healing if one.is_over]
        self._healing = [one for one in self._healing if one not in over]
        for one in over:
            if one.error is not None:
                raise AssertionError(f"{one.kind.name} could not be healed: {one.error}") from one.error

    def finish(self) -> None:
        """Undo everything now and wait for it. Raises like `tick`, and AssertionError if one does not end in time."""
        self._begin(float("inf"))
        self.join()
        hung = [one for one in self._healing if not one.is_over]
        self._healing = [one for one in self._healing if one not in hung]
        if hung:
            names = ", ".join(one.kind.name for one in hung)
            raise AssertionError(f"{names}: the healing hangs, it has not ended in {self._longest_s:g} s")
        self.tick()

    def join(self) -> None:
        """Wait for the faults that are being undone, for at most `longest_s` in total."""
        give_up_s = time.monotonic() + self._longest_s
        for one in self._healing:
            if one.thread is not None:
                one.thread.join(max(0.0, give_up_s - time.monotonic()))

    def _begin(self, now_s: float) -> None:
        for one in [one for one in self._lasting if one.until_s <= now_s]:
            self._lasting.remove(one)
            self._healing.append(one)
            one.begin()
