"""The supervisor's side of the template: starts it, hears how its import went, has workers forked."""

from __future__ import annotations

import logging
import os
import signal
from enum import Enum
from typing import Any, Callable, Iterable, Mapping

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers import platform, spawn
from bizzmq.workers.boot import FAILED, BootFailure, failure_in
from bizzmq.workers.channel import Channel
from bizzmq.workers.death import Exit
from bizzmq.workers.template import READY, SPAWN, SPAWNED, UNSAFE

_logger = logging.getLogger("bizzmq.supervisor")

TemplateMain = Callable[[Channel], int]


class TemplateState(Enum):
    """IMPORTING until it has said how that went; UNSAFE means that each worker has to import by itself."""

    IMPORTING = "importing"
    READY = "ready"
    FAILED = "failed"
    UNSAFE = "unsafe"


class TemplateLink:
    """One template process.

    Attributes:
        failure: why it FAILED.
        danger: why it is UNSAFE.
        died_importing: it FAILED without having said why.
    """

    def __init__(self, main: TemplateMain, private: Callable[[], Iterable[int]]) -> None:
        self._main = main
        self._private = private
        self.channel: Channel | None = None
        self.pid = 0
        self.state = TemplateState.IMPORTING
        self.failure = BootFailure("")
        self.danger = ""
        self.died_importing = False
        self.started_s = 0.0

    def start(self) -> None:
        """Fork the template. A system that cannot fork now is told as a failure."""
        try:
            own, other = Channel.pair()
        except OSError as error:
            self._cannot_start(error)
            return

        def life() -> int:
            return self._main(other)

        try:
            self.pid = spawn.fork(life, close=[*self._private(), own.fileno()])
        except OSError as error:
            own.close()
            self._cannot_start(error)
            return
        finally:
            other.close()
        self.channel = own
        self.started_s = clock.monotonic()
        log(_logger, logging.INFO, "template started", pid=self.pid)

    def _cannot_start(self, error: OSError) -> None:
        self.state = TemplateState.FAILED
        self.failure = BootFailure(f"the template could not be forked: {error}")

    def spawn(self, worker: str, slot: int, descriptor: int) -> bool:
        """Have a worker forked, with this end of its channel; False if the template cannot be asked."""
        if self.channel is None or self.state is not TemplateState.READY:
            return False
        return self.channel.send_descriptor(descriptor, op=SPAWN, worker=worker, slot=slot)

    def receive(self) -> list[Mapping[str, Any]]:
        """News of spawned workers (SPAWNED messages); its own state is kept up to date here."""
        if self.channel is None:
            return []
        spawned = []
        for message in self.channel.receive():
            if message["op"] == READY:
                self.state = TemplateState.READY
                took_s = round(clock.monotonic() - self.started_s, 3)
                log(_logger, logging.INFO, "handler imported", pid=self.pid, import_s=took_s)
            elif message["op"] == FAILED:
                self.state = TemplateState.FAILED
                self.failure = failure_in(message)
            elif message["op"] == UNSAFE:
                self.state, self.danger = TemplateState.UNSAFE, message["why"]
            elif message["op"] == SPAWNED:
                spawned.append(message)
        return spawned

    def died(self) -> bool:
        """Whether it has gone; says so once."""
        ended = platform.reap(self.pid) if self.pid else None
        if ended is None:
            return False
        self.receive()
        self._forget()
        if self.state is TemplateState.IMPORTING:
            self.state = TemplateState.FAILED
            self.failure = BootFailure(f"the handler cannot be imported: its process {Exit.of(*ended)} while doing so")
            self.died_importing = True
        return True

    def end(self) -> None:
        """Kill it. Its workers are not its children and stay."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self._forget()

    def _forget(self) -> None:
        self.pid = 0
        if self.channel is not None:
            self.channel.close()
            self.channel = None
