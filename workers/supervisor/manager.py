"""What the supervisor does in each round: act on signals, read the children, settle dead workers, start new ones."""

from __future__ import annotations

import logging
import signal
from signal import Signals as Signal
from typing import Collection, Container

from bizzmq.consumer.options import ExitReason
from bizzmq.protocol.pool_request import FEWER, MORE, QUIET, RELOAD, RESUME
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.janitor_messages import (
    Ask,
    CancelRunning,
    Gauges,
    JanitorReady,
    Registered,
    SlowMessage,
    Unusable,
)
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.process import syscalls
from bizzmq.workers.process.terminal import Terminal
from bizzmq.workers.supervisor.components import Components
from bizzmq.workers.supervisor.drain import DrainState
from bizzmq.workers.supervisor.requests.pool_requests import PoolRequests
from bizzmq.workers.supervisor.slot import Phase, Slot

_logger = logging.getLogger("bizzmq.supervisor")
_CHECK_ALL_S = 1.0
"""How often all workers are checked, even if no signal and no channel says that one has died or sent anything."""


class Manager:
    """Runs the rounds. It never waits, and makes no call to Redis.

    Args:
        reap_orphans: also reap dead children that do not belong to the pool.
        keeps_on: the pool outlives its terminal.

    Attributes:
        failure: why the pool cannot work, if no worker could boot at its start.
    """

    def __init__(self, components: Components, config: WorkerConfig, *, reap_orphans: bool, keeps_on: bool) -> None:
        self._components = components
        self._worker_pool, self._preloader = components.worker_pool, components.preloader
        self._janitor = components.janitor
        self._rolling_restart, self._drain = components.rolling_restart, components.drain
        self._config = config
        self._reap_orphans = reap_orphans
        self._terminal = Terminal(is_outlived=keeps_on)
        self._ever_booted = False
        self._check_all_at_s = 0.0
        self._may_touch_redis = False  # no queue is created for a handler that cannot be imported
        self.failure: BootFailure | None = None
        acts = {
            RELOAD: self._reload, QUIET: lambda: self._pause(paused=True), RESUME: lambda: self._pause(paused=False),
            MORE: lambda: self._change_target(1), FEWER: lambda: self._change_target(-1),
        }  # fmt: skip
        self._requests = PoolRequests(
            components.stacks, components.profiler, acts, lambda: "the pool is draining" if self._drain.begun else "",
            self._janitor.answer,
        )  # fmt: skip

    def tick(self, signals: Collection[Signal], readable: Container[int] = ()) -> None:
        """Run one round."""
        for number in signals:
            self._act_on(number)
        self._check_templates()
        self._check_janitor()
        self._check_workers(bool(signals), readable)
        self._preloader.end_former()
        self._components.hard_limits.tick()
        self._components.stalled_workers.tick()
        self._components.stacks.tick()
        self._components.profiler.tick()
        if self._components.output_relay is not None:
            self._components.output_relay.check()
        if self._drain.begun:
            if self._drain.overdue:
                self.kill_all("was still busy at the end of the drain")
            return
        if self._components.reloader is not None and self._components.reloader.changed():
            self._rolling_restart.reload()
        if self._ever_booted:
            self._retry_failed()
        self._worker_pool.match_target()
        if self._preloader.may_start:
            self._worker_pool.start_due(self._preloader.current)
        self._rolling_restart.tick()

    @property
    def finished(self) -> bool:
        """Whether only the sign-off is left to do."""
        if self._worker_pool.up:
            return False
        if self._drain.begun or (self.failure is not None and not self._ever_booted):
            return True
        return {slot.phase for slot in self._worker_pool.counted} == {Phase.DONE}

    def kill_all(self, reason: str) -> None:
        """Kill all workers, without blame for their messages."""
        for slot in self._worker_pool.up:
            self._worker_pool.kill(slot, reason, blame=False)

    def read_janitor(self) -> None:
        """Read and act on the janitor's messages."""
        startup_state = self._components.startup_state
        for message in self._components.janitor.receive():
            if isinstance(message, JanitorReady):
                startup_state.note_ready()
            elif isinstance(message, Unusable):
                startup_state.note_unusable(message.why)
            elif isinstance(message, Registered):
                self._worker_pool.registered(message.worker, message.without)
            elif isinstance(message, CancelRunning):
                self._components.hard_limits.cancel(message.worker, message.message_id, message.delivery)
            elif isinstance(message, SlowMessage):
                self._components.autopsies.begin(message.worker, message.message_id, message.delivery)
            elif isinstance(message, Ask):
                self._requests.accept(message)
            elif isinstance(message, Gauges) and not self._drain.begun:
                self._components.autoscaler.scale(message)

    def _check_janitor(self) -> None:
        janitor, startup_state = self._components.janitor, self._components.startup_state
        self._may_touch_redis = self._may_touch_redis or self._preloader.may_start
        if self._may_touch_redis:
            janitor.check()
            startup_state.check(away=janitor.redis_is_away, aside=janitor.aside)
        self.read_janitor()
        if startup_state.failure is not None and not self._drain.begun:
            self._end(signal.SIGTERM)
        if janitor.all_done:
            self._drain.at_stake = False

    def _act_on(self, number: Signal) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._end(number)
        elif self._drain.begun:
            return
        elif number == signal.SIGHUP:
            self._hang_up_or_reload()
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._worker_pool.change_target(1 if number == signal.SIGTTIN else -1)
        elif number in (signal.SIGTSTP, signal.SIGCONT):
            self._set_paused(paused=number == signal.SIGTSTP)
        elif number == signal.SIGUSR1:
            self._components.stacks.request()

    def _reload(self) -> str:
        begun = self._rolling_restart.reloads
        self._rolling_restart.reload()
        return (
            "a reload has begun" if self._rolling_restart.reloads > begun else "a reload begins after the running one"
        )

    def _pause(self, *, paused: bool) -> str:
        self._set_paused(paused=paused)
        return "the pool claims nothing, its workers finish what they run" if paused else "the pool claims messages"

    def _change_target(self, difference: int) -> str:
        before = self._worker_pool.target
        self._worker_pool.change_target(difference)
        target = self._worker_pool.target
        limit = "" if target != before else ", the most" if difference > 0 else ", the least"
        return f"{target} {'worker' if target == 1 else 'workers'}{limit}"

    def _set_paused(self, *, paused: bool) -> None:
        gate = self._components.scoreboard.gate
        if paused == gate.paused:
            return  # the kernel also sends SIGCONT when a terminal goes
        gate.set_paused(paused)
        log(_logger, logging.INFO, "claiming is paused" if paused else "claiming goes on")

    def _hang_up_or_reload(self) -> None:
        if not self._terminal.has_gone():
            self._rolling_restart.reload()
        elif self._terminal.is_outlived:
            log(_logger, logging.INFO, "the terminal has gone, the pool goes on: it was started by nohup")
        else:
            log(_logger, logging.INFO, "the terminal has gone")
            self._end(signal.SIGTERM)

    def _end(self, number: Signal) -> None:
        """Drain, or stop at once."""
        if not self._drain.request(at_once=number == signal.SIGQUIT):
            return
        self._components.scoreboard.set_draining()
        self._rolling_restart.cancel()
        self._preloader.end()
        if self._drain.state is DrainState.STOPPING:
            log(_logger, logging.WARNING, "stopping at once", signal=number.name)
            self.kill_all("was stopped at once")
        else:
            log(_logger, logging.INFO, "draining", signal=number.name, timeout_s=self._config.drain_timeout_s)
            for slot in self._worker_pool.up:
                self._worker_pool.drain(slot)

    def _check_templates(self) -> None:
        self.failure = self._preloader.check(first_start=not self._ever_booted) or self.failure

    def _check_workers(self, check_all: bool, readable: Container[int]) -> None:
        """Check those that have sent something or are gone; all of them after a signal, and once a second."""
        check_all = check_all or clock.monotonic() >= self._check_all_at_s
        for slot in self._worker_pool.up:
            channel = slot.channel
            if check_all or channel is None or channel.closed or channel.fileno() in readable:
                self._read(slot)
                self._reap_if_dead(slot)
        if check_all:
            self._check_all_at_s = clock.monotonic() + _CHECK_ALL_S
            self._worker_pool.descendants.reap_killed()
            if self._reap_orphans:
                syscalls.reap_orphans(self._components.pids())

    def _read(self, slot: Slot) -> None:
        news = self._worker_pool.read(slot)
        if slot.booted:
            self._ever_booted = True
            self.failure = None
        if news.holds_several:
            self._components.prefetch_releaser.wake()
        if news.wants_recycling:
            self._rolling_restart.replace(slot, "has handled its number of messages")
        failure = news.failure
        if failure is None or self._rolling_restart.failed_to_boot(slot, failure):
            return
        if self._ever_booted:
            log(_logger, logging.ERROR, "a worker cannot boot any more", error=failure.error)
        self.failure = self.failure or (None if self._ever_booted else failure)

    def _reap_if_dead(self, slot: Slot) -> None:
        if not slot.pid and slot.channel is not None and slot.channel.closed:
            self._check_templates()  # a template may have reported the pid meanwhile
        status = self._worker_pool.reap(slot)
        if status is None:
            return
        self._read(slot)  # its last messages
        never_forked = not slot.pid  # its template is gone, or has reported that it could not fork it
        quiet = never_forked or (not slot.booted and not self._ever_booted)
        self._components.profiler.forget(slot)
        snapshot, death = self._components.post_mortem.examine(slot, status, quiet=quiet)
        self._drain.at_stake = self._drain.at_stake or (slot.working and bool(death))  # before, it holds nothing
        self._clear(slot, snapshot, death)

    def _clear(self, slot: Slot, snapshot: Snapshot, death: str) -> None:
        """Clear a slot, and decide when it may have its next worker."""
        was_counted, never_forked = slot.is_counted, not slot.pid
        could_boot = slot.booted or self._ever_booted or not was_counted
        slot.clear()
        now_s = clock.monotonic()
        if never_forked:
            slot.back_off(self._config, now_s)
            return
        if not death:
            if snapshot.exit_reason is ExitReason.BURST and was_counted:
                slot.phase = Phase.DONE
            return
        slot.last_death, slot.last_death_s = death, now_s
        if could_boot:
            at_work = snapshot.activity is Activity.RUNNING or snapshot.handled > 0
            slot.back_off(self._config, now_s, at_work=at_work)
        else:
            slot.phase = Phase.FAILED
            self._fail_if_none_boots(death)

    def _fail_if_none_boots(self, reason: str) -> None:
        """At the first start: once every slot has failed to boot, further tries would fail, too."""
        if not self._drain.begun and all(slot.phase is Phase.FAILED for slot in self._worker_pool.counted):
            self.failure = self.failure or BootFailure(f"no worker could boot: each {reason} while starting")

    def _retry_failed(self) -> None:
        """Since one worker could boot, those that could not are tried again."""
        for slot in self._worker_pool.counted:
            if slot.phase is Phase.FAILED:
                slot.phase = Phase.EMPTY
                wait_s = slot.back_off(self._config, clock.monotonic())
                log(_logger, logging.ERROR, "a worker could not boot, trying again", slot=slot.index,
                    wait_s=round(wait_s, 3))  # fmt: skip
