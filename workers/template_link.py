"""The supervisor's side of the template: starts it, hears how its import went, has workers forked."""

from __future__ import annotations

import logging
import math
import os
import signal
from enum import Enum
from typing import Any, Callable, Iterable, Mapping

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers import spawn
from bizzmq.workers.boot import FAILED, BootFailure, failure_in
from bizzmq.workers.channel import Channel
from bizzmq.workers.death import Exit
from bizzmq.workers.descendants import Descendants
from bizzmq.workers.template import IMPORTED, READY, SPAWN, SPAWNED, UNSAFE, mark_of

_logger = logging.getLogger("bizzmq.supervisor")

ANSWER_S = 10.0
"""A template that has answered nothing for so long is stuck: a fork takes milliseconds, and a trial fork gives up."""
LEAVE_S = 1.0
"""How long a template may take to leave."""
_LOOK_S = 1.0

TemplateMain = Callable[[Channel], int]
SEE = "bizzmq-worker --check-preload"


class TemplateState(Enum):
    """IMPORTING until it has said how that went; UNSAFE means that each worker has to import by itself."""

    IMPORTING = "importing"
    READY = "ready"
    FAILED = "failed"
    UNSAFE = "unsafe"


class TemplateLink:
    """One template process.

    Args:
        descendants: ends what an import has started, when the template ends.

    Attributes:
        failure: why it FAILED.
        danger: why it is UNSAFE.
        has_threads: its import has left threads, of whatever kind.
        keeps: its import has left what ends with it, and what its workers may need: temporary files, children.
        died_importing: it FAILED without having said why.
    """

    def __init__(self, main: TemplateMain, private: Callable[[], Iterable[int]], descendants: Descendants) -> None:
        self._main = main
        self._private = private
        self._descendants = descendants
        self._due_by_s = math.inf  # when it is stuck, unless it has answered
        self._unanswered = 0
        self._look_at_s = 0.0
        self.channel: Channel | None = None
        self.pid = 0
        self.state = TemplateState.IMPORTING
        self.failure = BootFailure("")
        self.danger = ""
        self.has_threads = self.keeps = False
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
        if not self.channel.send_descriptor(descriptor, op=SPAWN, worker=worker, slot=slot):
            return False
        self._await(self._unanswered + 1)
        return True

    def _await(self, answers: int) -> None:
        self._unanswered = answers
        self._due_by_s = clock.monotonic() + ANSWER_S if answers else math.inf

    def receive(self) -> list[Mapping[str, Any]]:
        """News of spawned workers (SPAWNED messages); its own state is kept up to date here."""
        if self.channel is None:
            return []
        spawned = []
        for message in self.channel.receive():
            self._await(max(0, self._unanswered - 1))
            if message["op"] == IMPORTED:
                self._await(1)
            elif message["op"] == READY:
                self.state = TemplateState.READY
                self._say_ready(message)
            elif message["op"] == FAILED:
                self.state = TemplateState.FAILED
                self.failure = failure_in(message)
            elif message["op"] == UNSAFE:
                self.state, self.danger = TemplateState.UNSAFE, message["why"]
            elif message["op"] == SPAWNED:
                spawned.append(message)
        return spawned

    def _say_ready(self, message: Mapping[str, Any]) -> None:
        self.has_threads, self.keeps = message["has_threads"], message["keeps"]
        took_s = round(clock.monotonic() - self.started_s, 3)
        log(_logger, logging.INFO, "handler imported", pid=self.pid, import_s=took_s)
        if message["renewed"]:
            log(_logger, logging.INFO, "each worker has random numbers of its own", renewed=message["renewed"])
        if message["danger"]:
            log(_logger, logging.WARNING, "workers are forked as --preload on says, which this may not bear",
                found=message["danger"], see=SEE)  # fmt: skip

    def say_unsafe(self) -> None:
        """In one line: what the import has left, and what follows."""
        log(_logger, logging.WARNING, "each worker imports by itself", why=self.danger, see=SEE)

    def end_if_stuck(self) -> None:
        """Kill it if it does not answer, or is stopped while it imports. An import itself may take any time."""
        now_s = clock.monotonic()
        if not self.pid or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_S
        is_inspecting = self.state is TemplateState.IMPORTING and self._unanswered > 0
        if now_s >= self._due_by_s:
            log(_logger, logging.ERROR, "the template does not answer and is killed", pid=self.pid, after_s=ANSWER_S)
        elif not (self.state is TemplateState.IMPORTING and _is_stopped(self.pid)):
            return
        else:
            log(_logger, logging.ERROR, "the template was stopped while it imported, and is killed", pid=self.pid)
        self.end()
        if is_inspecting:
            self.state = TemplateState.UNSAFE
            self.danger = "fork handler: a trial fork hangs, in what a library does before each fork"
        elif self.state is TemplateState.IMPORTING:
            self.state, self.died_importing = TemplateState.FAILED, True
            self.failure = BootFailure("the handler cannot be imported: its process was stopped while doing so")

    def died(self) -> bool:
        """Whether it has gone; says so once."""
        ended = self._descendants.reap(self.pid, mark_of(self.pid)) if self.pid else None
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
        """End it. Its workers are not its children and stay.

        It leaves by itself when its channel closes, and removes its temporary files; if it does not, it is killed.
        """
        pid = self.pid
        if pid:
            if self.channel is not None:
                self.channel.close()
            is_listening = not self._unanswered and self.state is not TemplateState.IMPORTING
            kill_at_s = clock.monotonic() + (LEAVE_S if is_listening else 0.0)
            while self._descendants.reap(pid, mark_of(pid)) is None:
                if clock.monotonic() >= kill_at_s:
                    os.kill(pid, signal.SIGKILL)
                    kill_at_s = math.inf
                clock.sleep(0.0005)
        self._forget()

    def _forget(self) -> None:
        self.pid = 0
        self._await(0)
        if self.channel is not None:
            self.channel.close()
            self.channel = None


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - short
            return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False
