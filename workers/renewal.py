"""Renewal: workers are replaced one at a time, and each replacement is up before the old one leaves.

A reload renews all of them with new code, and only if that has proved itself: it has been imported by a new
template, and a first worker, the canary, has booted with it. Else the old generation stays.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import Callable

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.crew import Crew
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.template_link import TemplateLink, TemplateState
from bizzmq.workers.turns import Turns, is_busy

_logger = logging.getLogger("bizzmq.supervisor")
_PATIENCE_S = 1.0
"""An old worker that takes longer than this to leave, since it runs a long message, does not hold up the others."""


class Reload(Enum):
    """How far a reload is."""

    NONE = "none"
    IMPORTING = "importing"
    CANARY = "canary"
    RENEWING = "renewing"


class Renewal:
    """Owns the replacements under way, and the reload if there is one.

    Args:
        may_start: whether workers can be started now; while a dead template is being replaced they cannot.
        new_template: starts a template for new code; gives None if workers import by themselves.

    Attributes:
        reloads: how many have begun.
        last_error: why the last one has failed; "" if it has not.
    """

    def __init__(
        self,
        crew: Crew,
        new_template: Callable[[], TemplateLink | None],
        may_start: Callable[[], bool],
    ) -> None:
        self._crew = crew
        self._new_template = new_template
        self._may_start = may_start
        self._turns = Turns()
        self._old: Slot | None = None
        self._old_worker = ""
        self._new: Slot | None = None
        self._new_worker = ""
        self._is_canary = False
        self._leaving: Slot | None = None
        self.state = Reload.NONE
        self.next_template: TemplateLink | None = None
        self._again = False
        self.reloads = 0
        self.last_error = ""

    @property
    def busy(self) -> bool:
        """Whether a reload is under way."""
        return self.state is not Reload.NONE

    def replace(self, slot: Slot, why: str) -> None:
        """Replace a worker when it is its turn."""
        if not slot.retiring and not self._is_being_replaced(slot):
            self._turns.add(slot, why)

    def _is_being_replaced(self, slot: Slot) -> bool:
        """Whether the worker that is in this slot now has an understudy."""
        return slot is self._old and slot.worker == self._old_worker

    def reload(self) -> None:
        """Begin a reload; one that is asked for while another is under way follows it."""
        if self.state is Reload.IMPORTING and self.next_template is not None:
            self.next_template.end()  # what it imports may be out of date, and its import may never end
        elif self.busy:
            self._again = True
            if self._is_canary and self._new is not None and not self._new.booted:
                self._crew.kill(self._new, "was overtaken by the next reload", blame=False)
            return
        log(_logger, logging.INFO, "reloading")
        self.reloads += 1
        self.next_template = self._new_template()
        self.state = Reload.IMPORTING if self.next_template is not None else Reload.CANARY

    def cancel(self) -> None:
        """The pool is draining: nothing is renewed any more."""
        self._turns.clear()
        self._again = False
        if self.next_template is not None:
            self.next_template.end()
            self.next_template = None
        self.state = Reload.NONE
        self._new = self._old = None

    def tick(self) -> None:
        """Go as far as can be gone now."""
        if self.state is Reload.IMPORTING:
            self._see_import()
        if self.state is Reload.CANARY and self._new is None and self._has_died(self.next_template):
            self._abort(BootFailure("the process that has imported the new code died"))
        if self._leaving is not None and self._has_left(self._leaving):
            self._leaving = None
        if self._new is not None:
            self._see_understudy(self._new)
        elif self._leaving is None:
            self._begin_next()

    def _see_import(self) -> None:
        template = self.next_template
        assert template is not None
        if template.state is TemplateState.READY:
            self.state = Reload.CANARY
        elif template.state is TemplateState.FAILED:
            self._abort(template.failure)
        elif template.state is TemplateState.UNSAFE:
            template.say_unsafe()
            template.end()
            self.next_template = None
            self.state = Reload.CANARY

    @staticmethod
    def _has_died(template: TemplateLink | None) -> bool:
        return template is not None and not template.pid

    def _begin_next(self) -> None:
        is_canary = self.state is Reload.CANARY
        if not is_canary and not self._may_start():
            return
        old, why = self._canarys_partner() if is_canary else self._turns.take()
        if old is None and not is_canary:
            if self.state is Reload.RENEWING:
                self._finish()
            return
        spare = self._crew.spare()
        if spare is None:
            return
        template = self.next_template if is_canary else self._crew.template
        generation = self._crew.generation + int(is_canary)
        if self._crew.start(spare, template, generation):
            spare.understudy = True
            self._new, self._new_worker, self._is_canary = spare, spare.worker, is_canary
            self._old, self._old_worker = old, old.worker if old else ""
            log(_logger, logging.DEBUG, "replacing a worker", slot=old.index if old else None, by=spare.index, why=why)
        elif old is not None and not is_canary:
            self._turns.give_back(old, why)

    def _canarys_partner(self) -> tuple[Slot | None, str]:
        up = [slot for slot in self._crew.counted if slot.phase is Phase.UP]
        return min(up, key=is_busy, default=None), "reload"

    def _see_understudy(self, new: Slot) -> None:
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
        """The new one works; now the old one may go."""
        if self._is_canary:
            self._adopt_generation()
        new.understudy = False
        old = self._old
        if old is not None and old.phase is Phase.UP and old.worker == self._old_worker and old.counts:
            self._crew.retire(old)
            self._leaving = old
        self._new = self._old = None

    def _adopt_generation(self) -> None:
        former = self._crew.template
        self._crew.template, self.next_template = self.next_template, None
        self._crew.generation += 1
        if former is not None:
            self._crew.dismiss(former)
        for slot in self._crew.counted:
            if slot.phase is Phase.UP and slot.generation < self._crew.generation:
                self.replace(slot, "reload")
        self.state = Reload.RENEWING
        log(_logger, logging.INFO, "new code has booted, renewing the workers", generation=self._crew.generation)

    def _has_left(self, slot: Slot) -> bool:
        return not slot.retiring or clock.monotonic() - slot.retiring_since_s > _PATIENCE_S

    def _finish(self) -> None:
        self.state = Reload.NONE
        self.last_error = ""
        log(_logger, logging.INFO, "reloaded", generation=self._crew.generation)
        self._reload_again()

    def _reload_again(self) -> None:
        if self._again:
            self._again = False
            self.reload()

    def failed_to_boot(self, slot: Slot, failure: BootFailure) -> bool:
        """An understudy says that it cannot boot; True if that ends a reload."""
        if slot is not self._new or not self._is_canary:
            return False
        self._new = self._old = None  # it leaves by itself
        self._abort(failure)
        return True

    def _abort(self, failure: BootFailure) -> None:
        self.last_error = failure.error
        log(_logger, logging.ERROR, "reload failed, the old code stays", error=failure.error, trace=failure.traceback)
        if self.next_template is not None:
            self.next_template.end()
            self.next_template = None
        self.state = Reload.NONE
        self._reload_again()
