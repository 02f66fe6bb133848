"""The supervisor: one thread, one loop. It runs no user code and makes no call to Redis.

So nothing can stall it: signals are written down and acted on here, children are reaped here, and what
has to be said to Redis is the janitor's.
"""

from __future__ import annotations

import logging
import select
from signal import SIGCHLD, SIGQUIT
from signal import Signals as Signal
from typing import NamedTuple

from bizzmq import clock, embedded, ids
from bizzmq.connection import Connection, check_url
from bizzmq.logs import log
from bizzmq.loop import Leave
from bizzmq.workers import exits
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import Crew
from bizzmq.workers.death import Exit, burial
from bizzmq.workers.janitor import Janitor
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.scoreboard import Activity, Scoreboard, Snapshot
from bizzmq.workers.signals import REPEAT_S, Signals
from bizzmq.workers.slot import Phase, Slot

_logger = logging.getLogger("bizzmq.supervisor")
_TICK_S = 0.5
_SILENCE_S = 10.0
"""A janitor that has been silent for so long is stuck: longer than any call to a Redis that does not answer."""
_CALM_S = 0.5
"""How long a pool that holds no message waits for a Redis that is away, before it ends without signing off."""


class BootFailure(NamedTuple):
    """Why no worker could boot: one line, and the user's traceback if their import raised."""

    error: str
    traceback: str


class Supervisor:
    """A pool of worker processes.

    `run` must be called in the main thread of a process without other threads, since it forks. It installs
    signal handlers while it runs: SIGTERM and SIGINT drain the pool, a second one (at least a second later)
    or SIGQUIT stops it at once and gives everything back.

    Args:
        for_good: the process ends with the pool: signals that come after it are ignored.

    Attributes:
        failure: after `run` has returned 3, why.
    """

    def __init__(self, config: WorkerConfig, *, for_good: bool = False) -> None:
        self._config = config
        self._server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
        self._url = self._server.url if self._server else check_url(config.redis_url)
        self.id = ids.supervisor_id()
        self.failure: BootFailure | None = None
        scoreboard = Scoreboard(config.worker_count)
        self._signals = Signals(for_good=for_good)

        def janitor_life(channel: Channel) -> int:
            ensure = self._server.ensure if self._server else None
            connection = Connection(self._url, before_open=ensure)
            return Janitor(self.id, connection, config, scoreboard, channel).main()

        self._janitor = JanitorLink(janitor_life, self._private, silence_s=max(_SILENCE_S, config.lease_s / 2))
        self._crew = Crew(self.id, self._url, config, scoreboard, self._janitor, self._private)
        self._ever_booted = False
        self._draining_since_s: float | None = None
        self._stopped = False
        self._give_up_s = float("inf")
        self._at_stake = False

    def run(self) -> int:
        """Run the pool until it is drained; returns the exit code (see `bizzmq.workers.exits`)."""
        with self._signals:
            try:
                log(_logger, logging.INFO, "pool started", supervisor=self.id, workers=len(self._crew.slots),
                    queues=",".join(self._config.queues))  # fmt: skip
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
        for signal in self._signals.take():
            self._act_on(signal)
        self._janitor.tend()
        self._hear_janitor()
        if self._janitor.settled:
            self._at_stake = False
        for slot in self._crew.up:
            self._hear(slot)
            self._bury_if_dead(slot)
        self._crew.kill_overdue()
        now_s = clock.monotonic()
        if self._draining_since_s is None:
            self._retry_failed()
            for slot in self._crew.slots:
                if slot.phase is Phase.EMPTY and now_s >= slot.start_at_s:
                    self._crew.start(slot)
        elif now_s >= self._drain_deadline_s:
            self._kill_all("was still busy at the end of the drain")

    @property
    def _drain_deadline_s(self) -> float:
        """When workers are killed, so that the whole drain, the giving back included, fits its time."""
        assert self._draining_since_s is not None
        timeout_s = self._config.drain_timeout_s
        return self._draining_since_s + timeout_s - min(1.0, timeout_s / 10)

    def _act_on(self, signal: Signal) -> None:
        now_s = clock.monotonic()
        if signal == SIGCHLD:
            return  # waking the loop was all that it had to do
        if signal != SIGQUIT and self._draining_since_s is None:
            log(_logger, logging.INFO, "draining", signal=signal.name, timeout_s=self._config.drain_timeout_s)
            self._draining_since_s = now_s
            self._give_up_s = now_s + self._config.drain_timeout_s
            self._crew.drain()
        elif signal == SIGQUIT or now_s - (self._draining_since_s or 0.0) >= REPEAT_S:
            if not self._stopped:
                log(_logger, logging.WARNING, "stopping at once", signal=signal.name)
            if self._draining_since_s is None:
                self._draining_since_s = now_s
                self._give_up_s = now_s + self._config.drain_timeout_s
            self._stopped = True
            self._kill_all("was stopped at once")

    def _kill_all(self, reason: str) -> None:
        for slot in self._crew.up:
            self._crew.kill(slot, reason, blame=False)

    def _hear_janitor(self) -> None:
        for message in self._janitor.receive():
            if message["op"] == "registered":
                self._crew.registered(message["worker"])

    def _hear(self, slot: Slot) -> None:
        failure = self._crew.hear(slot)
        if slot.booted:
            self._ever_booted = True
            self.failure = None
        if failure is not None:
            boot_failure = BootFailure(*failure)
            if self._ever_booted:
                log(_logger, logging.ERROR, "a worker cannot boot any more", error=boot_failure.error)
            self.failure = self.failure or (None if self._ever_booted else boot_failure)

    def _bury_if_dead(self, slot: Slot) -> None:
        ended = self._crew.reap(slot)
        if ended is None:
            return
        self._hear(slot)  # its last words
        record = slot.record.read()
        orderly = ended.code == 0 and record.activity is Activity.LEFT
        reason = slot.ended_by_us or str(ended)
        self._janitor.requeue(burial(slot.worker, record, reason, blame=slot.blame and not orderly))
        booted = slot.booted
        was_let_go = booted and slot.registered  # before that it holds nothing
        self._at_stake = self._at_stake or (was_let_go and not orderly)
        self._log_end(slot, ended, record, reason, orderly=orderly)
        slot.vacated()
        if orderly:
            if record.leave is Leave.BURST:
                slot.phase = Phase.DONE
        elif booted or self._ever_booted:
            slot.punish(self._config, clock.monotonic())
        else:
            slot.phase = Phase.FAILED
            self._fail_if_none_boots(reason)

    def _fail_if_none_boots(self, reason: str) -> None:
        """At the first start: once every slot has failed to boot, so would every other try."""
        if self._draining_since_s is not None:
            return
        if all(slot.phase is Phase.FAILED for slot in self._crew.slots):
            self.failure = self.failure or BootFailure(f"no worker could boot: each {reason} while starting", "")

    def _log_end(self, slot: Slot, ended: Exit, record: Snapshot, reason: str, *, orderly: bool) -> None:
        facts = {"slot": slot.index, "pid": slot.pid, "worker": slot.worker, "handled": record.handled}
        if orderly:
            log(_logger, logging.DEBUG, "worker left", why=record.leave.value, **facts)
            return
        if not slot.booted and not self._ever_booted:
            return  # said once for all of them, at the end
        if record.activity is Activity.RUNNING:
            facts["message"] = record.running
            facts["queue"] = self._config.queues[record.queue_index]
            facts["ran_s"] = round(clock.monotonic() - record.started_s, 3)
        log(_logger, logging.INFO if slot.ended_by_us and not slot.blame else logging.ERROR, "worker died",
            how=reason, **facts, peak_memory_mb=ended.peak_memory_bytes >> 20, cpu_s=ended.cpu_s)  # fmt: skip

    def _finished(self) -> bool:
        phases = {slot.phase for slot in self._crew.slots}
        if Phase.UP in phases:
            return False
        if self.failure is not None and not self._ever_booted and phases <= {Phase.FAILED}:
            return True
        if self._draining_since_s is not None:
            return True
        return phases == {Phase.DONE}

    def _retry_failed(self) -> None:
        """Since one worker could boot, so may those that could not."""
        for slot in self._crew.slots:
            if slot.phase is Phase.FAILED and self._ever_booted:
                slot.phase = Phase.EMPTY
                wait_s = slot.punish(self._config, clock.monotonic())
                log(_logger, logging.ERROR, "a worker could not boot, trying again", slot=slot.index,
                    wait_s=round(wait_s, 3))  # fmt: skip

    def _sign_off(self) -> None:
        """Have everything that the workers held given back, then let the janitor sign off and go."""
        if self._give_up_s == float("inf"):
            self._give_up_s = clock.monotonic() + 5.0
        self._give_up_s = max(self._give_up_s, clock.monotonic() + 0.2)
        calm_s = clock.monotonic() + _CALM_S
        self._janitor.leave()
        while self._janitor.pid and clock.monotonic() < self._give_up_s:
            if self._janitor.redis_is_away and not self._at_stake and clock.monotonic() > calm_s:
                break  # only registrations are left to be struck off, and they end with the lease
            self._wait()
            self._signals.take()
            self._janitor.tend()
            self._hear_janitor()
        if not self._janitor.settled and self._at_stake:
            log(_logger, logging.WARNING, "Redis did not take everything back in time, the lease will")

    def _end_everything(self) -> None:
        """Whatever happened: no process of this pool outlives it."""
        for slot in self._crew.up:
            self._crew.kill(slot, "was ended with its supervisor", blame=False)
        self._janitor.kill()
        for slot in self._crew.up:
            while self._crew.reap(slot) is None:
                self._signals.take()
                select.poll().poll(5)
            slot.vacated()
        if self._server is not None:
            self._server.close()

    def _private(self) -> list[int]:
        """Descriptors that no child may keep open: an end held elsewhere would hide a death."""
        channels = [self._janitor.channel, *(slot.channel for slot in self._crew.up)]
        return [*self._signals.descriptors(), *(channel.fileno() for channel in channels if channel)]

    def _wait(self) -> None:
        """Sleep until a signal, a child's word, or the next moment at which something is due."""
        now_s = clock.monotonic()
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        if self._janitor.channel is not None and not self._janitor.channel.closed:
            wants = select.POLLIN | (select.POLLOUT if self._janitor.channel.unsent else 0)
            poller.register(self._janitor.channel.fileno(), wants)
        for slot in self._crew.up:
            if slot.channel is not None and not slot.channel.closed:
                poller.register(slot.channel.fileno(), select.POLLIN)
        due_s = [slot.start_at_s for slot in self._crew.slots if slot.phase is Phase.EMPTY]
        due_s.append(now_s + _TICK_S)
        if self._draining_since_s is not None:
            due_s = [now_s + _TICK_S, max(self._drain_deadline_s, now_s + 0.02)]
        poller.poll(max(0.0, min(due_s) - now_s) * 1000 + 1)
        if self._janitor.channel is not None:
            self._janitor.channel.flush()
