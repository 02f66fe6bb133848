"""The supervisor: one thread, one loop. It runs no user code and makes no call to Redis.

So nothing can stall it: signals are written down and acted on here, children are reaped here, and what
has to be said to Redis is the janitor's.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from pathlib import Path
from signal import Signals as Signal

from bizzmq import clock, embedded, ids
from bizzmq.connection import Connection, check_url
from bizzmq.logs import log
from bizzmq.loop import Leave
from bizzmq.workers import exits, platform
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.breaker import Breaker
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.coroner import Coroner
from bizzmq.workers.crew import Crew
from bizzmq.workers.drain import Drain, Urgency
from bizzmq.workers.front import Doors, Front
from bizzmq.workers.janitor import Janitor
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.nursery import Nursery
from bizzmq.workers.renewal import Renewal
from bizzmq.workers.scaler import Scaler
from bizzmq.workers.scoreboard import Activity, Scoreboard
from bizzmq.workers.scout import Scout, require_library
from bizzmq.workers.signals import Signals
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.stack_dump import StackDump
from bizzmq.workers.status import PoolStatus
from bizzmq.workers.watchdog import Watchdog
from bizzmq.workers.worker import Worker

_logger = logging.getLogger("bizzmq.supervisor")
_TICK_S = 0.5
_SILENCE_S = 10.0
"""A janitor that has been silent for so long is stuck: longer than any call to a Redis that does not answer."""
_CALM_S = 0.5
"""How long a pool that holds no message waits for a Redis that is away, before it ends without signing off."""


class Supervisor:
    """A pool of worker processes.

    `run` must be called in the main thread of a process without other threads, since it forks. It installs
    signal handlers while it runs; see the README for what each signal does.

    Args:
        for_good: the process is the pool's alone, as that of `bizzmq-worker` is: signals that come after the end are
            ignored, and foreign orphans are reaped, since it may be PID 1.

    Attributes:
        failure: after `run` has returned 3, why.
    """

    def __init__(self, config: WorkerConfig, *, for_good: bool = False) -> None:
        self._config = config
        self._reap_orphans = for_good
        self._doors = Doors(config)
        try:
            self._server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
            self._url = self._server.url if self._server else check_url(config.redis_url)
            if config.reload:
                require_library()
        except BaseException:
            self._doors.close()
            raise
        self.id = ids.supervisor_id()
        self.failure: BootFailure | None = None
        self._signals = Signals(for_good=for_good)
        self._scoreboard = Scoreboard(2 * config.capacity)
        self._janitor = JanitorLink(self._janitor_life, self._private, silence_s=max(_SILENCE_S, config.lease_s / 2))
        self._crew = Crew(self.id, config, self._scoreboard, self._janitor, self._make_worker, self._private)
        self._nursery = Nursery(self._crew, config, self._make_worker, self._private)
        self._renewal = Renewal(
            self._crew, self._nursery.new_template, lambda: self._nursery.may_start, config.drain_timeout_s
        )
        self._watchdog = Watchdog(self._crew, self._renewal, config)
        breaker = Breaker(config.queues, self._scoreboard.gate)
        self._coroner = Coroner(self._crew, self._janitor, breaker, config.queues)
        self._stacks = StackDump(self._crew, config.queues)
        self._scaler = Scaler(self._crew, config)
        self._scout = Scout(Path.cwd(), self._private) if config.reload else None
        self._drain = Drain(config.drain_timeout_s)
        self._status = PoolStatus(
            self.id, config, self._crew, self._nursery, self._renewal, self._janitor, self._drain, self._scoreboard.gate
        )
        self._front = Front(self._doors, self._status, config)
        self._ever_booted = False
        self._pid = os.getpid()

    def _janitor_life(self, channel: Channel) -> int:
        ensure = self._server.ensure if self._server else None
        connection = Connection(self._url, before_open=ensure)
        return Janitor(self.id, connection, self._config, self._scoreboard, channel).main()

    def _make_worker(self, worker_id: str, slot: int, channel: Channel) -> Worker:
        record, gate = self._scoreboard.slot(slot), self._scoreboard.gate
        stack = self._crew.stacks[slot].descriptor
        return Worker(worker_id, self._url, self._config, record, channel, gate, self._pid, stack, slot=slot)

    def run(self) -> int:
        """Run the pool until it is drained; returns the exit code (see `bizzmq.workers.exits`)."""
        self._pid = os.getpid()
        with self._signals:
            try:
                log(_logger, logging.INFO, "pool started", supervisor=self.id, workers=self._crew.target,
                    queues=",".join(self._config.queues))  # fmt: skip
                self._front.announce()
                platform.adopt_orphans()
                self._nursery.start()
                if self._scout is not None:
                    self._scout.start()
                self.tick()
                while not self._finished():
                    self._wait()
                    self.tick()
                self._sign_off()
            finally:
                self._end_everything()
        log(_logger, logging.INFO, "pool ended", supervisor=self.id)
        return exits.CANNOT_BOOT if self.failure else exits.DRAINED

    def tick(self) -> None:
        """One round: act on signals, hear the children, bury the dead, start the missing."""
        for number in self._signals.take():
            self._act_on(number)
        self._janitor.tend()
        self._hear_janitor()
        if self._janitor.settled:
            self._drain.at_stake = False
        self._tend_templates()
        for slot in self._crew.up:
            self._hear(slot)
            self._bury_if_dead(slot)
        if self._reap_orphans:
            platform.reap_strangers(self._own_pids())
        self._watchdog.tick()
        self._stacks.tick()
        if self._drain.begun:
            if self._drain.overdue:
                self._kill_all("was still busy at the end of the drain")
            return
        if self._scout is not None and self._scout.changed():
            self._renewal.reload()
        if self._ever_booted:
            self._retry_failed()
        self._crew.match_target()
        if self._nursery.may_start:
            self._crew.start_due()
        self._renewal.tick()

    def _act_on(self, number: Signal) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._end(number)
        elif self._drain.begun:
            return
        elif number == signal.SIGHUP:
            self._renewal.reload()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._change_target(1 if number == signal.SIGTTIN else -1)
        elif number in (signal.SIGTSTP, signal.SIGCONT):
            self._pause(number == signal.SIGTSTP)
        elif number == signal.SIGUSR1:
            self._stacks.ask()

    def _end(self, number: Signal) -> None:
        if not self._drain.ask(at_once=number == signal.SIGQUIT):
            return
        self._renewal.cancel()
        self._nursery.end()
        if self._drain.urgency is Urgency.STOPPING:
            log(_logger, logging.WARNING, "stopping at once", signal=number.name)
            self._kill_all("was stopped at once")
        else:
            log(_logger, logging.INFO, "draining", signal=number.name, timeout_s=self._config.drain_timeout_s)
            for slot in self._crew.up:
                self._crew.leave(slot)

    def _change_target(self, difference: int) -> None:
        self._crew.target = max(1, min(self._crew.capacity, self._crew.target + difference))
        log(_logger, logging.INFO, "number of workers changed", workers=self._crew.target)

    def _pause(self, paused: bool) -> None:
        self._scoreboard.gate.set_paused(paused)
        log(_logger, logging.INFO, "claiming is paused" if paused else "claiming goes on")

    def _kill_all(self, reason: str) -> None:
        for slot in self._crew.up:
            self._crew.kill(slot, reason, blame=False)

    def _hear_janitor(self) -> None:
        for message in self._janitor.receive():
            if message["op"] == "registered":
                self._crew.registered(message["worker"])
            elif message["op"] == "gauges" and not self._drain.begun:
                self._scaler.see(message)

    def _tend_templates(self) -> None:
        if self._renewal.next_template is not None:
            self._nursery.hear(self._renewal.next_template)
        failure = self._nursery.tend(first_start=not self._ever_booted)
        if failure is not None:
            self.failure = failure

    def _hear(self, slot: Slot) -> None:
        failure, wants_recycling = self._crew.hear(slot)
        if slot.booted:
            self._ever_booted = True
            self.failure = None
        if wants_recycling:
            self._renewal.replace(slot, "has handled its number of messages")
        if failure is None or self._renewal.failed_to_boot(slot, *failure):
            return
        if self._ever_booted:
            log(_logger, logging.ERROR, "a worker cannot boot any more", error=failure.error)
        self.failure = self.failure or (None if self._ever_booted else failure)

    def _bury_if_dead(self, slot: Slot) -> None:
        ended = self._crew.reap(slot)
        if ended is None:
            return
        self._hear(slot)  # its last words
        never_was = not slot.pid  # its template has gone, or could not fork it, and has said so
        quiet = never_was or (not slot.booted and not self._ever_booted)
        record, death = self._coroner.examine(slot, ended, quiet=quiet)
        self._drain.at_stake = self._drain.at_stake or (slot.working and bool(death))  # before, it holds nothing
        self._status.buried(record, died=bool(death) and not never_was)
        counted, booted = slot.counts, slot.booted
        slot.vacated()
        if never_was:
            slot.punish(self._config, clock.monotonic())
            return
        if not death:
            if record.leave is Leave.BURST and counted:
                slot.phase = Phase.DONE
            return
        slot.last_death = death
        if booted or self._ever_booted or not counted:
            at_work = record.activity is Activity.RUNNING or record.handled > 0
            slot.punish(self._config, clock.monotonic(), at_work=at_work)
        else:
            slot.phase = Phase.FAILED
            self._fail_if_none_boots(death)

    def _fail_if_none_boots(self, reason: str) -> None:
        """At the first start: once every slot has failed to boot, so would every other try."""
        if not self._drain.begun and all(slot.phase is Phase.FAILED for slot in self._crew.counted):
            self.failure = self.failure or BootFailure(f"no worker could boot: each {reason} while starting", "")

    def _finished(self) -> bool:
        if self._crew.up:
            return False
        if self._drain.begun or (self.failure is not None and not self._ever_booted):
            return True
        return {slot.phase for slot in self._crew.counted} == {Phase.DONE}

    def _retry_failed(self) -> None:
        """Since one worker could boot, so may those that could not."""
        for slot in self._crew.counted:
            if slot.phase is Phase.FAILED:
                slot.phase = Phase.EMPTY
                wait_s = slot.punish(self._config, clock.monotonic())
                log(_logger, logging.ERROR, "a worker could not boot, trying again", slot=slot.index,
                    wait_s=round(wait_s, 3))  # fmt: skip

    def _sign_off(self) -> None:
        """Have everything that the workers held given back, then let the janitor sign off and go."""
        calm_s = clock.monotonic() + _CALM_S
        give_up_s = self._drain.give_up_at_s()
        self._janitor.leave()
        while self._janitor.pid and clock.monotonic() < give_up_s:
            if self._janitor.redis_is_away and not self._drain.at_stake and clock.monotonic() > calm_s:
                break  # only registrations are left to be struck off, and they end with the lease
            self._wait()
            self._signals.take()
            self._janitor.tend()
            self._hear_janitor()
        if not self._janitor.settled and self._drain.at_stake:
            log(_logger, logging.WARNING, "Redis did not take everything back in time, the lease will")

    def _end_everything(self) -> None:
        """Whatever happened: no process of this pool outlives it."""
        self._front.close()
        self._renewal.cancel()
        self._nursery.end()
        self._kill_all("was ended with its supervisor")
        self._janitor.kill()
        if self._scout is not None:
            self._scout.end()
        for slot in self._crew.up:
            while slot.pid and self._crew.reap(slot) is None:
                self._signals.take()
                select.poll().poll(5)
            slot.vacated()
        if self._reap_orphans:
            platform.reap_strangers(())
        for stack in self._crew.stacks:
            stack.close()
        if self._server is not None:
            self._server.close()

    def _own_pids(self) -> set[int]:
        scout = {self._scout.pid} if self._scout else set()
        return scout | {
            self._janitor.pid,
            *self._nursery.pids(self._renewal.next_template),
            *(s.pid for s in self._crew.up),
        }

    def _channels(self) -> list[Channel]:
        """The open channels to all children."""
        templates = [self._crew.template, self._nursery.template, self._renewal.next_template]
        channels = [self._janitor.channel, *(template.channel for template in templates if template)]
        channels += [self._scout.channel] if self._scout else []
        channels += [slot.channel for slot in self._crew.up]
        unique = {id(channel): channel for channel in channels if channel is not None and not channel.closed}
        return list(unique.values())

    def _private(self) -> list[int]:
        """Descriptors that no child may keep open: an end held elsewhere would hide a death."""
        channels = [channel.fileno() for channel in self._channels()]
        return [*self._signals.descriptors(), *self._front.descriptors(), *channels]

    def _wait(self) -> None:
        """Sleep until a signal, a child's word, or the next moment at which something is due."""
        self._front.tick()
        now_s = clock.monotonic()
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        for channel in self._channels():
            poller.register(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.unsent else 0))
        due_s = [now_s + _TICK_S, max(now_s + 0.02, self._watchdog.next_due_s()), self._stacks.due_s]
        due_s.append(self._front.register(poller))
        if self._drain.begun:
            due_s.append(max(self._drain.kill_at_s, now_s + 0.02))
        elif self._nursery.may_start:
            due_s += [slot.start_at_s for slot in self._crew.slots if slot.phase is Phase.EMPTY]
        poller.poll(max(0.0, min(due_s) - now_s) * 1000 + 1)
        self._front.serve()
        for channel in self._channels():
            channel.flush()
