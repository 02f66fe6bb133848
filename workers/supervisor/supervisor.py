"""The supervisor: one thread, one loop. It runs no user code and makes no call to Redis.

So nothing can stall it: signal handlers only note a signal, and the loop acts on it and reaps children. The janitor
makes the calls to Redis.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from dataclasses import replace
from typing import Container

from bizzmq.connection.url import check_url
from bizzmq.embedded import server as embedded
from bizzmq.errors import ConfigurationError
from bizzmq.preload import declared
from bizzmq.protocol import ids
from bizzmq.utils import clock, server_url
from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.journal import writer
from bizzmq.workers.preload import report, threads
from bizzmq.workers.preload.finding import Effect
from bizzmq.workers.process import cgroups, library_threads, nested_pool, syscalls, system_limits, terminal
from bizzmq.workers.supervisor.children.reloader import require_library
from bizzmq.workers.supervisor.components import Components
from bizzmq.workers.supervisor.endpoints import Endpoints, ListeningSockets
from bizzmq.workers.supervisor.manager import Manager
from bizzmq.workers.supervisor.signals import Signals
from bizzmq.workers.supervisor.status import PoolStatus
from bizzmq.workers.worker import description

_logger = logging.getLogger("bizzmq.supervisor")
TICK_S = 0.5
"""The longest wait between two rounds of the loop."""
_CALM_S = 0.5
"""How long a pool that holds no message waits at its end for a Redis or a queue that is away."""
_SECOND_TRY_S = 0.5
"""How long the janitor may try again: its first failure may come from a connection that died long ago."""


class Supervisor:
    """A pool of worker processes.

    Call `run` once, in the main thread, since it forks and handles signals, and in a process without other threads; if
    there are some, the log warns. It installs signal handlers while it runs, and restores those of the program
    afterwards; docs/operations/running-a-pool.md says what each signal does. A running event loop stands still.

    Args:
        for_good: the process has no other purpose than the pool, like that of `bizzmq-worker`: signals that come after
            the end are ignored, and orphans of other processes are reaped, since it may be PID 1.
        outlives_terminal: the pool goes on when its terminal goes. Without `for_good` it does so if SIGHUP is ignored
            now.

    Raises:
        ConfigurationError: a socket, an address or the journal's directory cannot be used, the system's limits do not
            allow this number of workers, or the app does not have a queue; nothing has been started.
    """

    def __init__(self, config: WorkerConfig, *, for_good: bool = False, outlives_terminal: bool = False) -> None:
        nested_pool.check()
        config = description.described_if_possible(config)
        limits_memory = config.max_memory_mb or config.kill_memory_mb
        system_limits.check(config.worker_count, config.capacity, config.memory_metric if limits_memory else "")
        if config.journal:
            config = replace(config, journal=writer.prepare_directory(config.journal))
        self._config = config
        self._reap_orphans = for_good
        self._has_run = False
        self._sockets = ListeningSockets(config)
        try:
            self._server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
            url = self._server.url if self._server else check_url(config.redis_url)
            if config.reload:
                require_library()
        except BaseException:
            self._sockets.close()
            raise
        self.id = ids.supervisor_id()
        self._signals = Signals(for_good=for_good)
        self._components = Components(
            self.id, url, config, self._server.ensure if self._server else None, self._close_in_child
        )
        keeps_on = outlives_terminal if for_good else terminal.is_nohup()
        self._manager = Manager(self._components, config, reap_orphans=for_good, keeps_on=keeps_on)
        self._endpoints = Endpoints(self._sockets, PoolStatus(self._components, config), config)

    @property
    def failure(self) -> BootFailure | None:
        """After `run`: why the pool could not work, or None."""
        return self._components.startup_state.failure or self._manager.failure

    def run(self) -> int:
        """Run the pool until it is drained; returns the exit code (see `bizzmq.workers.exit_codes`).

        Raises:
            ConfigurationError: this is not the main thread, or the supervisor has run already; nothing was started.
        """
        self._check_may_run()
        self._components.pid = os.getpid()
        _warn_of_threads()
        with self._signals:
            try:
                server_url.remember(self._config.redis_url)
                log(_logger, logging.INFO, "pool started", supervisor=self.id,
                    workers=self._components.worker_pool.target, queues=",".join(self._config.queues))  # fmt: skip
                self._log_library_threads()
                self._endpoints.announce()
                syscalls.adopt_orphans()
                if self._components.output_relay is not None:
                    self._components.output_relay.start()
                self._components.preloader.start()
                if self._components.reloader is not None:
                    self._components.reloader.start()
                self._manager.tick(self._signals.take())
                while not self._manager.finished:
                    readable = self._wait()
                    self._manager.tick(self._signals.take(), readable)
                if not self._components.drain.begun:  # a burst's workers have left by themselves
                    self._components.startup_state.burst_is_over(self._components.janitor.aside)
                self._sign_off()
            finally:
                self._end_everything()
                server_url.forget()
        log(_logger, logging.INFO, "pool ended", supervisor=self.id)
        return self.failure.code if self.failure else exit_codes.DRAINED

    def _check_may_run(self) -> None:
        if self._has_run:
            raise ConfigurationError("a Supervisor runs once: make another one for another pool")
        self._has_run = True
        if threading.current_thread() is not threading.main_thread():
            self._sockets.close()
            if self._server is not None:
                self._server.close()
            raise ConfigurationError(
                f"a pool runs in the main thread of its process, not in {threading.current_thread().name}: "
                "it forks, and handles the signals"
            )

    def _log_library_threads(self) -> None:
        workers = self._config.worker_count
        count = library_threads.threads_per_worker(self._config.library_threads, workers)
        if count:
            kept = {"kept": ",".join(library_threads.set_by_user())} if library_threads.set_by_user() else {}
            log(_logger, logging.INFO, "threads of numerical libraries are shared out", each=count, workers=workers,
                processors=cgroups.usable_processors(), **kept)  # fmt: skip

    def _sign_off(self) -> None:
        """Have the janitor give back what the workers held, unregister the supervisor and exit."""
        janitor, drain = self._components.janitor, self._components.drain
        calm_s = clock.monotonic() + _CALM_S
        give_up_s = drain.give_up_at_s()
        hindered_s = float("inf")
        janitor.sign_off()
        while janitor.pid and clock.monotonic() < give_up_s:
            now_s = clock.monotonic()
            is_hindered = janitor.redis_is_away or bool(janitor.aside)
            hindered_s = min(hindered_s, now_s) if is_hindered else float("inf")
            if not drain.at_stake and now_s > max(calm_s, hindered_s + _SECOND_TRY_S):
                break  # only registrations are left to be removed, and they end with the lease
            self._wait()
            self._signals.take()
            janitor.check()
            self._manager.read_janitor()
        if not janitor.all_done and drain.at_stake:
            log(_logger, logging.WARNING, "Redis did not take everything back in time, the lease will")

    def _end_everything(self) -> None:
        """End all processes of the pool, however `run` ends."""
        components = self._components
        self._endpoints.close()
        components.rolling_restart.cancel()
        components.preloader.end()
        self._manager.kill_all("was ended with its supervisor")
        components.janitor.kill()
        if components.reloader is not None:
            components.reloader.kill()
        for slot in components.worker_pool.up:
            while slot.pid and components.worker_pool.reap(slot) is None:
                self._signals.take()
                select.poll().poll(5)
            slot.clear()
        components.preloader.end_former()
        if components.output_relay is not None:
            components.output_relay.end()
        components.worker_pool.descendants.reap_killed()
        if self._reap_orphans:
            syscalls.reap_orphans(())
        for stack in components.worker_pool.stacks:
            stack.close()
        if self._server is not None:
            self._server.close()

    def _poll(self, poller: select.poll, until_s: float) -> Container[int]:
        """Wait for something to read, or until a moment; returns the readable descriptors.

        Busy workers are checked meanwhile, which needs no round.
        """
        prefetch_releaser = self._components.prefetch_releaser
        while True:
            prefetch_releaser.tick()
            next_s = min(until_s, prefetch_releaser.due_s())
            events = poller.poll(max(0.0, next_s - clock.monotonic()) * 1000 + 1)
            if events or clock.monotonic() >= until_s:
                return {descriptor for descriptor, _ in events}

    def _close_in_child(self) -> list[int]:
        """Descriptors that no child may keep open."""
        channels = [channel.fileno() for channel in self._components.channels()]
        return [*self._signals.descriptors(), *self._endpoints.descriptors(), *channels]

    def _wait(self) -> Container[int]:
        """Sleep until a signal or message comes, or something is due; returns the readable descriptors."""
        self._endpoints.tick()
        components, now_s = self._components, clock.monotonic()
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        for channel in components.channels():
            poller.register(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.unsent else 0))
        due_s = [now_s + TICK_S, max(now_s + 0.02, components.hard_limits.next_due_s()), components.stacks.due_s]
        due_s.append(components.profiler.due_s)
        due_s.append(components.janitor.starts_at_s)
        due_s.append(self._endpoints.register(poller))
        if components.drain.begun:
            due_s.append(max(components.drain.kill_at_s, now_s + 0.02))
        elif components.preloader.may_start:
            due_s.append(components.worker_pool.next_start_s(components.preloader.current))
        readable = self._poll(poller, min(due_s))
        self._endpoints.serve()
        for channel in components.channels():
            channel.flush()
        return readable


def _warn_of_threads() -> None:
    """A fork copies no other thread, but their locks: the workers of a program that has threads may hang."""
    if threading.active_count() == 1 and not threads.tasks():
        return
    found = report.summary(list(threads.findings((), declared, threads.TrialFork())), Effect.OFF)
    if found:
        sentence = "workers are forked beside threads of this program, and may hang: start the pool first"
        log(_logger, logging.WARNING, sentence, found=found)
