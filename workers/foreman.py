"""What the supervisor decides, round by round: it acts on signals, hears the children, buries the dead."""

from __future__ import annotations

import logging
import signal
from signal import Signals as Signal
from typing import Collection, Container

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.loop import Leave
from bizzmq.workers import platform
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.drain import Urgency
from bizzmq.workers.parts import Parts
from bizzmq.workers.scoreboard import Activity
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.terminal import Terminal

_logger = logging.getLogger("bizzmq.supervisor")
_ALL_S = 1.0
"""How often all workers are looked at though none has died or said anything, as far as a signal or a channel tells."""


class Foreman:
    """Runs the rounds. It never waits, and makes no call to Redis.

    Args:
        reap_orphans: also reap dead children that are none of the pool's.
        keeps_on: the pool outlives its terminal.

    Attributes:
        failure: why the pool cannot work, if no worker could boot at its start.
    """

    def __init__(self, parts: Parts, config: WorkerConfig, *, reap_orphans: bool, keeps_on: bool) -> None:
        self._parts = parts
        self._crew, self._drain, self._renewal = parts.crew, parts.drain, parts.renewal
        self._config = config
        self._reap_orphans = reap_orphans
        self._terminal = Terminal(keeps_on=keeps_on)
        self._ever_booted = False
        self._all_at_s = 0.0
        self._may_touch_redis = False  # no queue is created for a handler that cannot be imported
        self.failure: BootFailure | None = None

    def tick(self, signals: Collection[Signal], readable: Container[int] = ()) -> None:
        """One round: act on signals, hear the children, bury the dead, start the missing."""
        for number in signals:
            self._act_on(number)
        self._tend_templates()
        self._tend_janitor()
        self._tend_workers(bool(signals), readable)
        self._crew.end_former()
        self._parts.watchdog.tick()
        self._parts.stalls.tick()
        self._parts.stacks.tick()
        if self._drain.begun:
            if self._drain.overdue:
                self.kill_all("was still busy at the end of the drain")
            return
        if self._parts.scout is not None and self._parts.scout.changed():
            self._renewal.reload()
        if self._ever_booted:
            self._retry_failed()
        self._crew.match_target()
        if self._parts.nursery.may_start:
            self._crew.start_due()
        self._renewal.tick()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done but to sign off."""
        if self._crew.up:
            return False
        if self._drain.begun or (self.failure is not None and not self._ever_booted):
            return True
        return {slot.phase for slot in self._crew.counted} == {Phase.DONE}

    def kill_all(self, reason: str) -> None:
        """End all workers, and blame nobody."""
        for slot in self._crew.up:
            self._crew.kill(slot, reason, blame=False)

    def hear_janitor(self) -> None:
        """Take in what the janitor has said."""
        for message in self._parts.janitor.receive():
            self._parts.outlook.hear(message)
            if message["op"] == "registered":
                self._crew.registered(message["worker"], message["without"])
            elif message["op"] == "gauges" and not self._drain.begun:
                self._parts.scaler.see(message)

    def _tend_janitor(self) -> None:
        self._may_touch_redis = self._may_touch_redis or self._parts.nursery.may_start
        if self._may_touch_redis:
            self._parts.janitor.tend()
            self._parts.outlook.look(away=self._parts.janitor.redis_is_away, aside=self._parts.janitor.aside)
        self.hear_janitor()
        if self._parts.outlook.failure is not None and not self._drain.begun:
            self._end(signal.SIGTERM)
        if self._parts.janitor.settled:
            self._drain.at_stake = False

    def _act_on(self, number: Signal) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._end(number)
        elif self._drain.begun:
            return
        elif number == signal.SIGHUP:
            self._hang_up_or_reload()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._crew.change_target(1 if number == signal.SIGTTIN else -1)
        elif number in (signal.SIGTSTP, signal.SIGCONT):
            paused = number == signal.SIGTSTP
            if paused == self._parts.scoreboard.gate.paused:
                return  # as the kernel sends SIGCONT when a terminal goes
            self._parts.scoreboard.gate.set_paused(paused)
            log(_logger, logging.INFO, "claiming is paused" if paused else "claiming goes on")
        elif number == signal.SIGUSR1:
            self._parts.stacks.ask()

    def _hang_up_or_reload(self) -> None:
        if not self._terminal.has_gone():
            self._renewal.reload()
        elif self._terminal.keeps_on:
            log(_logger, logging.INFO, "the terminal has gone, the pool goes on: it was started by nohup")
        else:
            log(_logger, logging.INFO, "the terminal has gone")
            self._end(signal.SIGTERM)

    def _end(self, number: Signal) -> None:
        if not self._drain.ask(at_once=number == signal.SIGQUIT):
            return
        self._renewal.cancel()
        self._parts.nursery.end()
        if self._drain.urgency is Urgency.STOPPING:
            log(_logger, logging.WARNING, "stopping at once", signal=number.name)
            self.kill_all("was stopped at once")
        else:
            log(_logger, logging.INFO, "draining", signal=number.name, timeout_s=self._config.drain_timeout_s)
            for slot in self._crew.up:
                self._crew.leave(slot)

    def _tend_templates(self) -> None:
        if self._renewal.next_template is not None:
            self._parts.nursery.hear(self._renewal.next_template)
        failure = self._parts.nursery.tend(first_start=not self._ever_booted)
        if failure is not None:
            self.failure = failure

    def _tend_workers(self, is_due: bool, readable: Container[int]) -> None:
        """All of them after a signal, and now and then; else those that have said something, or said their last."""
        is_due = is_due or clock.monotonic() >= self._all_at_s
        for slot in self._crew.up:
            channel = slot.channel
            if is_due or channel is None or channel.closed or channel.fileno() in readable:
                self._hear(slot)
                self._bury_if_dead(slot)
        if is_due:
            self._all_at_s = clock.monotonic() + _ALL_S
            self._crew.descendants.reap_killed()
            if self._reap_orphans:
                platform.reap_strangers(self._parts.pids())

    def _hear(self, slot: Slot) -> None:
        failure, wants_recycling = self._crew.hear(slot)
        if slot.booted:
            self._ever_booted = True
            self.failure = None
        if wants_recycling:
            self._renewal.replace(slot, "has handled its number of messages")
        if failure is None or self._renewal.failed_to_boot(slot, failure):
            return
        if self._ever_booted:
            log(_logger, logging.ERROR, "a worker cannot boot any more", error=failure.error)
        self.failure = self.failure or (None if self._ever_booted else failure)

    def _bury_if_dead(self, slot: Slot) -> None:
        if not slot.pid and slot.channel is not None and slot.channel.closed:
            self._tend_templates()  # one of them may have said meanwhile what became of it
        ended = self._crew.reap(slot)
        if ended is None:
            return
        self._hear(slot)  # its last words
        never_was = not slot.pid  # its template has gone, or could not fork it, and has said so
        quiet = never_was or (not slot.booted and not self._ever_booted)
        record, death = self._parts.coroner.examine(slot, ended, quiet=quiet)
        self._drain.at_stake = self._drain.at_stake or (slot.working and bool(death))  # before, it holds nothing
        self._parts.status.buried(record, died=bool(death) and not never_was)
        counted, booted = slot.counts, slot.booted
        slot.vacated()
        if never_was:
            slot.punish(self._config, clock.monotonic())
        elif not death:
            if record.leave is Leave.BURST and counted:
                slot.phase = Phase.DONE
        else:
            slot.last_death, slot.last_death_s = death, clock.monotonic()
            if booted or self._ever_booted or not counted:
                at_work = record.activity is Activity.RUNNING or record.handled > 0
                slot.punish(self._config, clock.monotonic(), at_work=at_work)
            else:
                slot.phase = Phase.FAILED
                self._fail_if_none_boots(death)

    def _fail_if_none_boots(self, reason: str) -> None:
        """At the first start: once every slot has failed to boot, so would every other try."""
        if not self._drain.begun and all(slot.phase is Phase.FAILED for slot in self._crew.counted):
            self.failure = self.failure or BootFailure(f"no worker could boot: each {reason} while starting")

    def _retry_failed(self) -> None:
        """Since one worker could boot, so may those that could not."""
        for slot in self._crew.counted:
            if slot.phase is Phase.FAILED:
                slot.phase = Phase.EMPTY
                wait_s = slot.punish(self._config, clock.monotonic())
                log(_logger, logging.ERROR, "a worker could not boot, trying again", slot=slot.index,
                    wait_s=round(wait_s, 3))  # fmt: skip
