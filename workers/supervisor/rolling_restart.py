"""Workers are replaced one at a time, and each replacement works before the old worker drains.

A reload replaces all of them, and only with code that has proved itself: a new template has imported it, and a first
worker with it, the canary, has booted. Else the old generation stays.
"""

from __future__ import annotations

import logging
from collections import deque
from enum import Enum

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.supervisor.children.template_process import TemplateState
from bizzmq.workers.supervisor.preloader import Preloader
from bizzmq.workers.supervisor.slot import Phase, Slot
from bizzmq.workers.supervisor.worker_pool import WorkerPool

_logger = logging.getLogger("bizzmq.supervisor")
_PATIENCE_S = 1.0
"""An old worker that drains for longer than this, since it runs a long message, does not hold up the others."""


class Reload(Enum):
    """How far a reload is."""

    NONE = "none"
    IMPORTING = "importing"
    CANARY = "canary"
    RENEWING = "renewing"


class ReplacementQueue:
    """Slots that wait for their worker's replacement, and why. Each waits once."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Slot, str]] = deque()

    def add(self, slot: Slot, why: str) -> None:
        """Queue a slot behind the others."""
        if not any(slot is waiting for waiting, _ in self._waiting):
            self._waiting.append((slot, why))

    def put_back(self, slot: Slot, why: str) -> None:
        """Queue a slot before the others: its replacement could not be started."""
        self._waiting.appendleft((slot, why))

    def clear(self) -> None:
        """Replace nothing any more."""
        self._waiting.clear()

    def take(self) -> tuple[Slot | None, str]:
        """The first idle one, or else the first one: a busy worker may run its message for hours."""
        self._waiting = deque(
            (slot, why)
            for slot, why in self._waiting
            if slot.phase is Phase.UP and slot.is_counted and not slot.ended_by_us
        )
        if not self._waiting:
            return None, ""
        chosen = min(self._waiting, key=lambda waiting: _is_busy(waiting[0]))
        self._waiting.remove(chosen)
        return chosen


class RollingRestart:
    """Replaces workers, and runs the reload if there is one.

    Attributes:
        state: how far the reload is.
        reloads: how many have begun.
        last_error: why the last one has failed; "" if it has not.
    """

    def __init__(self, worker_pool: WorkerPool, preloader: Preloader) -> None:
        self._worker_pool = worker_pool
        self._preloader = preloader
        self._replacements = ReplacementQueue()
        self._old: Slot | None = None
        self._old_worker = ""
        self._new: Slot | None = None
        self._new_worker = ""
        self._is_canary = False
        self._draining: Slot | None = None
        self._again = False
        self.state = Reload.NONE
        self.reloads = 0
        self.last_error = ""

    @property
    def busy(self) -> bool:
        """Whether a reload is under way."""
        return self.state is not Reload.NONE

    def replace(self, slot: Slot, why: str) -> None:
        """Replace a worker when it is its turn."""
        if not slot.retiring and not self._is_being_replaced(slot):
            self._replacements.add(slot, why)

    def _is_being_replaced(self, slot: Slot) -> bool:
        """Whether the worker that is in this slot now already has a replacement."""
        return slot is self._old and slot.worker == self._old_worker

    def reload(self) -> None:
        """Begin a reload. During a reload, another one is begun when that has ended."""
        if self.state is Reload.IMPORTING and self._preloader.next is not None:
            self._preloader.cancel_next()  # what it imports may be out of date, and its import may never end
        elif self.busy:
            self._again = True
            if self._is_canary and self._new is not None and not self._new.booted:
                self._worker_pool.kill(self._new, "was overtaken by the next reload", blame=False)
            return
        log(_logger, logging.INFO, "reloading")
        self.reloads += 1
        self.state = Reload.IMPORTING if self._preloader.start_next() else Reload.CANARY

    def cancel(self) -> None:
        """Replace nothing any more: the pool drains."""
        self._replacements.clear()
        self._again = False
        self._preloader.cancel_next()
        self.state = Reload.NONE
        self._new = self._old = None

    def tick(self) -> None:
        """Do what is possible now."""
        if self.state is Reload.IMPORTING:
            self._check_import()
        if self.state is Reload.CANARY and self._new is None and self._next_has_died():
            self._abort(BootFailure("the process that has imported the new code died"))
        if self._draining is not None and self._has_left(self._draining):
            self._draining = None
        if self._new is not None:
            self._check_replacement(self._new)
        elif self._draining is None:
            self._begin_next()

    def _check_import(self) -> None:
        template = self._preloader.next
        assert template is not None
        if template.state is TemplateState.READY:
            self.state = Reload.CANARY
        elif template.state is TemplateState.FAILED:
            self._abort(template.failure)
        elif template.state is TemplateState.UNSAFE:
            template.log_unsafe()
            self._preloader.cancel_next()
            self.state = Reload.CANARY

    def _next_has_died(self) -> bool:
        template = self._preloader.next
        return template is not None and not template.pid

    def _begin_next(self) -> None:
        """Start the canary, or the next replacement."""
        is_canary = self.state is Reload.CANARY
        if not is_canary and not self._preloader.may_start:
            return
        old, why = self._replaced_by_canary() if is_canary else self._replacements.take()
        if old is None and not is_canary:
            if self.state is Reload.RENEWING:
                self._finish()
            return
        free = self._worker_pool.free()
        if free is None:
            return
        template = self._preloader.next if is_canary else self._preloader.current
        generation = self._worker_pool.generation + int(is_canary)
        if self._worker_pool.start(free, template, generation):
            free.is_replacement = True
            self._new, self._new_worker, self._is_canary = free, free.worker, is_canary
            self._old, self._old_worker = old, old.worker if old else ""
            log(_logger, logging.DEBUG, "replacing a worker", slot=old.index if old else None, by=free.index, why=why)
        elif old is not None and not is_canary:
            self._replacements.put_back(old, why)

    def _replaced_by_canary(self) -> tuple[Slot | None, str]:
        up = [slot for slot in self._worker_pool.counted if slot.phase is Phase.UP]
        return min(up, key=_is_busy, default=None), "reload"

    def _check_replacement(self, new: Slot) -> None:
        if new.phase is not Phase.UP or new.worker != self._new_worker:
            self._new = None
            if self._is_canary:
                self._abort(BootFailure("the first worker with the new code died while starting"))
                self._old = None
                return
            old, self._old = self._old, None
            if old is not None:
                self.replace(old, "again")
        elif new.working:
            self._take_over(new)

    def _take_over(self, new: Slot) -> None:
        """Drain the old worker: its replacement works."""
        if self._is_canary:
            self._adopt_generation()
        new.is_replacement = False
        old = self._old
        if old is not None and old.phase is Phase.UP and old.worker == self._old_worker and old.is_counted:
            self._worker_pool.retire(old)
            self._draining = old
        self._new = self._old = None

    def _adopt_generation(self) -> None:
        """Replace all workers that have the old code."""
        self._preloader.promote_next()
        self._worker_pool.generation += 1
        for slot in self._worker_pool.counted:
            if slot.phase is Phase.UP and slot.generation < self._worker_pool.generation:
                self.replace(slot, "reload")
        self.state = Reload.RENEWING
        log(_logger, logging.INFO, "new code has booted, renewing the workers", generation=self._worker_pool.generation)

    def _has_left(self, slot: Slot) -> bool:
        """Whether an old worker is gone, or takes so long that the next replacement does not wait for it."""
        return not slot.retiring or clock.monotonic() - slot.retiring_since_s > _PATIENCE_S

    def _finish(self) -> None:
        self.state = Reload.NONE
        self.last_error = ""
        log(_logger, logging.INFO, "reloaded", generation=self._worker_pool.generation)
        self._reload_again()

    def _reload_again(self) -> None:
        if self._again:
            self._again = False
            self.reload()

    def failed_to_boot(self, slot: Slot, failure: BootFailure) -> bool:
        """A worker cannot boot; True if it is the canary, which ends the reload."""
        if slot is not self._new or not self._is_canary:
            return False
        self._new = self._old = None  # it exits by itself
        self._abort(failure)
        return True

    def _abort(self, failure: BootFailure) -> None:
        self.last_error = failure.error
        log(_logger, logging.ERROR, "reload failed, the old code stays", error=failure.error, trace=failure.traceback)
        self._preloader.cancel_next()
        self.state = Reload.NONE
        self._reload_again()


def _is_busy(slot: Slot) -> bool:
    return slot.activity.read().activity is not Activity.IDLE
