"""The parts of a pool, composed. Nothing is started here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Iterable

from bizzmq.broker import scripts
from bizzmq.connection.factory import connect
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.janitor.janitor import Janitor
from bizzmq.workers.supervisor.autoscaler import Autoscaler
from bizzmq.workers.supervisor.children.janitor_process import JanitorProcess
from bizzmq.workers.supervisor.children.output_relay import OutputRelay
from bizzmq.workers.supervisor.children.reloader import Reloader
from bizzmq.workers.supervisor.circuit_breaker import CircuitBreaker
from bizzmq.workers.supervisor.drain import Drain
from bizzmq.workers.supervisor.hard_limits import HardLimits
from bizzmq.workers.supervisor.post_mortem import PostMortem
from bizzmq.workers.supervisor.prefetch_release import PrefetchReleaser
from bizzmq.workers.supervisor.preloader import Preloader
from bizzmq.workers.supervisor.requests.autopsies import Autopsies
from bizzmq.workers.supervisor.requests.profiler import Profiler
from bizzmq.workers.supervisor.requests.stacks import StackDump
from bizzmq.workers.supervisor.rolling_restart import RollingRestart
from bizzmq.workers.supervisor.stalled_workers import StalledWorkers
from bizzmq.workers.supervisor.startup_state import StartupState
from bizzmq.workers.supervisor.worker_pool import WorkerPool
from bizzmq.workers.worker.worker import Worker

_SILENCE_S = 10.0
"""A janitor that is silent for `n` seconds is stuck: no call to a Redis that does not answer takes longer.

It reports before each call. One round can take many calls: a heartbeat and a scan for each queue.
"""


class Components:
    """All parts of one pool.

    Args:
        supervisor: the supervisor's id.
        url: the server's address.
        before_open: called before a connection is opened; for an embedded server.
        close_in_child: tells which descriptors of the supervisor no child may keep open: an end of a channel that is
            held elsewhere would hide a death.

    Attributes:
        pid: the supervisor's process. `Supervisor.run` sets it, in case the program has forked since.
    """

    def __init__(
        self,
        supervisor: str,
        url: str,
        config: WorkerConfig,
        before_open: Callable[[], None] | None,
        close_in_child: Callable[[], Iterable[int]],
    ) -> None:
        self.supervisor = supervisor
        self._url = url
        self._config = config
        self._before_open = before_open
        self.pid = os.getpid()
        scripts.load_all()
        self.scoreboard = Scoreboard(2 * config.capacity, len(config.queues), captures=config.capture_output)
        captured = self.scoreboard.captured()
        self.output_relay = OutputRelay(captured, config.queues, close_in_child) if captured else None
        silence_s = max(_SILENCE_S, config.lease_s / 2)
        self.janitor = JanitorProcess(self._janitor_main, close_in_child, silence_s, config.lease_s)
        self.worker_pool = WorkerPool(
            supervisor, config, self.scoreboard, self.janitor, self._make_worker, close_in_child
        )
        self.preloader = Preloader(self.worker_pool, config, self._make_worker, close_in_child)
        self.rolling_restart = RollingRestart(self.worker_pool, self.preloader)
        self.stalled_workers = StalledWorkers(self.worker_pool, self.preloader)
        self.hard_limits = HardLimits(self.worker_pool, self.rolling_restart, config)
        circuit_breaker = CircuitBreaker(config.queues, self.scoreboard.gate)
        self.post_mortem = PostMortem(self.worker_pool, self.janitor, circuit_breaker, config.queues)
        self.stacks = StackDump(self.worker_pool, config.queues)
        self.profiler = Profiler(self.worker_pool, self.stacks, self.hard_limits.is_killing)
        self.autopsies = Autopsies(self.worker_pool, self.profiler, config.queues, self.janitor.keep_profile)
        self.prefetch_releaser = PrefetchReleaser(self.worker_pool, self.janitor, self.scoreboard, config.queues)
        self.autoscaler = Autoscaler(self.worker_pool, config)
        self.reloader = Reloader(Path.cwd(), close_in_child) if config.reload else None
        self.startup_state = StartupState(config)
        self.drain = Drain(config.drain_timeout_s)

    def _janitor_main(self, channel: Channel) -> int:
        connection = connect(self._url, before_open=self._before_open)
        return Janitor(self.supervisor, connection, self._config, self.scoreboard, channel).main()

    def _make_worker(self, worker_id: str, slot: int, channel: Channel) -> Worker:
        activity, gate = self.scoreboard.slot(slot), self.scoreboard.gate
        stack = self.worker_pool.stacks[slot].descriptor
        return Worker(worker_id, self._url, self._config, activity, channel, gate, self.pid, stack, slot=slot)

    def channels(self) -> list[Channel]:
        """The open channels to all children."""
        channels = [self.janitor.channel, *(template.channel for template in self.preloader.templates)]
        channels += [self.reloader.channel] if self.reloader else []
        channels += [slot.channel for slot in self.worker_pool.up]
        return [channel for channel in channels if channel is not None and not channel.closed]

    def pids(self) -> set[int]:
        """The processes of the pool, without the supervisor."""
        reloader = {child.pid for child in (self.reloader, self.output_relay) if child is not None}
        templates = {template.pid for template in self.preloader.templates}
        return reloader | templates | {self.janitor.pid, *(slot.pid for slot in self.worker_pool.up)}
