"""The supervisor: one thread, one loop. It runs no user code and makes no call to Redis.

So nothing can stall it: signals are written down and acted on here, children are reaped here, and what
has to be said to Redis is the janitor's.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from dataclasses import replace
from typing import Container

from bizzmq import clock, embedded, ids, server_url
from bizzmq.logs import log
from bizzmq.url import check_url
from bizzmq.workers import exits, journal, library_threads, nested, platform, processors, system_limits, terminal
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.foreman import Foreman
from bizzmq.workers.front import Doors, Front
from bizzmq.workers.parts import Parts
from bizzmq.workers.scout import require_library
from bizzmq.workers.signals import Signals
from bizzmq.workers.slot import Phase

_logger = logging.getLogger("bizzmq.supervisor")
TICK_S = 0.5
"""The longest wait between two rounds of the loop."""
_CALM_S = 0.5
"""How long a pool that holds no message waits for a Redis or a queue that is away, before it ends all the same."""
_FRESH_TRY_S = 0.5
"""The first failure may be that of a connection that has been dead for long: so long the next try may take."""


class Supervisor:
    """A pool of worker processes.

    `run` must be called in the main thread of a process without other threads, since it forks. It installs
    signal handlers while it runs; see the README for what each signal does.

    Args:
        for_good: the process is the pool's alone, as that of `bizzmq-worker` is: signals that come after the end are
            ignored, and foreign orphans are reaped, since it may be PID 1.
        outlives_terminal: the pool goes on when its terminal goes. Without `for_good`: if SIGHUP is ignored now.

    Raises:
        ConfigurationError: a socket, an address or the journal's directory cannot be had, or the system's limits
            do not allow so many workers; nothing has been started.
    """

    def __init__(self, config: WorkerConfig, *, for_good: bool = False, outlives_terminal: bool = False) -> None:
        nested.check()
        system_limits.check(config)
        if config.journal:
            config = replace(config, journal=journal.prepared(config.journal))
        self._config = config
        self._reap_orphans = for_good
        self._doors = Doors(config)
        try:
            self._server = embedded.join(config.redis_url) if embedded.is_embedded(config.redis_url) else None
            url = self._server.url if self._server else check_url(config.redis_url)
            if config.reload:
                require_library()
        except BaseException:
            self._doors.close()
            raise
        self.id = ids.supervisor_id()
        self._signals = Signals(for_good=for_good)
        self._parts = Parts(self.id, url, config, self._server.ensure if self._server else None, self._private)
        keeps_on = outlives_terminal if for_good else terminal.is_nohup()
        self._foreman = Foreman(self._parts, config, reap_orphans=for_good, keeps_on=keeps_on)
        self._front = Front(self._doors, self._parts.status, config)

    @property
    def failure(self) -> BootFailure | None:
        """After `run`: why no worker could be had, if that is so."""
        return self._parts.outlook.failure or self._foreman.failure

    def run(self) -> int:
        """Run the pool until it is drained; returns the exit code (see `bizzmq.workers.exits`)."""
        self._parts.pid = os.getpid()
        _warn_of_threads()
        with self._signals:
            try:
                server_url.remember(self._config.redis_url)
                log(_logger, logging.INFO, "pool started", supervisor=self.id, workers=self._parts.crew.target,
                    queues=",".join(self._config.queues))  # fmt: skip
                self._say_how_many_library_threads()
                self._front.announce()
                platform.adopt_orphans()
                self._parts.nursery.start()
                if self._parts.scout is not None:
                    self._parts.scout.start()
                self._foreman.tick(self._signals.take())
                while not self._foreman.finished:
                    readable = self._wait()
                    self._foreman.tick(self._signals.take(), readable)
                if not self._parts.drain.begun:  # a burst's workers have left by themselves
                    self._parts.outlook.is_over(self._parts.janitor.aside)
                self._sign_off()
            finally:
                self._end_everything()
                server_url.forget()
        log(_logger, logging.INFO, "pool ended", supervisor=self.id)
        return self.failure.code if self.failure else exits.DRAINED

    def _say_how_many_library_threads(self) -> None:
        workers = self._config.worker_count
        count = library_threads.share(self._config.library_threads, workers)
        if count:
            kept = {"kept": ",".join(library_threads.set_by_user())} if library_threads.set_by_user() else {}
            log(_logger, logging.INFO, "threads of numerical libraries are shared out", each=count, workers=workers,
                processors=processors.available(), **kept)  # fmt: skip

    def _sign_off(self) -> None:
        """Have everything that the workers held given back, then let the janitor sign off and go."""
        janitor, drain = self._parts.janitor, self._parts.drain
        calm_s = clock.monotonic() + _CALM_S
        give_up_s = drain.give_up_at_s()
        hindered_s = float("inf")
        janitor.leave()
        while janitor.pid and clock.monotonic() < give_up_s:
            now_s = clock.monotonic()
            is_hindered = janitor.redis_is_away or bool(janitor.aside)
            hindered_s = min(hindered_s, now_s) if is_hindered else float("inf")
            if not drain.at_stake and now_s > max(calm_s, hindered_s + _FRESH_TRY_S):
                break  # only registrations are left to be struck off, and they end with the lease
            self._wait()
            self._signals.take()
            janitor.tend()
            self._foreman.hear_janitor()
        if not janitor.settled and drain.at_stake:
            log(_logger, logging.WARNING, "Redis did not take everything back in time, the lease will")

    def _end_everything(self) -> None:
        """Whatever happened: no process of this pool outlives it."""
        parts = self._parts
        self._front.close()
        parts.renewal.cancel()
        parts.nursery.end()
        self._foreman.kill_all("was ended with its supervisor")
        parts.janitor.kill()
        if parts.scout is not None:
            parts.scout.end()
        for slot in parts.crew.up:
            while slot.pid and parts.crew.reap(slot) is None:
                self._signals.take()
                select.poll().poll(5)
            slot.vacated()
        parts.crew.end_former()
        parts.crew.descendants.reap_killed()
        if self._reap_orphans:
            platform.reap_strangers(())
        for stack in parts.crew.stacks:
            stack.close()
        if self._server is not None:
            self._server.close()

    def _poll(self, poller: select.poll, until_s: float) -> Container[int]:
        """Wait for something to read, or for a moment. Looks at busy workers meanwhile, which needs no round.

        Returns the descriptors that have something.
        """
        recaller = self._parts.recaller
        while True:
            recaller.tick()
            next_s = min(until_s, recaller.due_s())
            events = poller.poll(max(0.0, next_s - clock.monotonic()) * 1000 + 1)
            if events or clock.monotonic() >= until_s:
                return {descriptor for descriptor, _ in events}

    def _private(self) -> list[int]:
        """Descriptors that no child may keep open."""
        channels = [channel.fileno() for channel in self._parts.channels()]
        return [*self._signals.descriptors(), *self._front.descriptors(), *channels]

    def _wait(self) -> Container[int]:
        """Sleep until a signal, a child's word, or the next moment at which something is due; what is readable then."""
        self._front.tick()
        parts, now_s = self._parts, clock.monotonic()
        poller = select.poll()
        poller.register(self._signals.fileno(), select.POLLIN)
        for channel in parts.channels():
            poller.register(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.unsent else 0))
        due_s = [now_s + TICK_S, max(now_s + 0.02, parts.watchdog.next_due_s()), parts.stacks.due_s]
        due_s.append(parts.janitor.starts_at_s)
        due_s.append(self._front.register(poller))
        if parts.drain.begun:
            due_s.append(max(parts.drain.kill_at_s, now_s + 0.02))
        elif parts.nursery.may_start:
            due_s += [slot.start_at_s for slot in parts.crew.slots if slot.phase is Phase.EMPTY]
        readable = self._poll(poller, min(due_s))
        self._front.serve()
        for channel in parts.channels():
            channel.flush()
        return readable


def _warn_of_threads() -> None:
    """A fork copies no thread, but the locks of all: the workers of a program that has threads may hang."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        sentence = "workers are forked beside threads of this program, and may hang: start the pool first"
        log(_logger, logging.WARNING, sentence, threads=", ".join(names))
