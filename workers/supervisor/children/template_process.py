"""The supervisor's handle on a template: starts it, follows its import, has it fork workers."""

from __future__ import annotations

import logging
import math
import os
import signal
from enum import Enum
from typing import Any, Callable, Iterable, Mapping

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.template_messages import FROM_TEMPLATE, Imported, Spawn, Spawned, TemplateReady, Unsafe
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.process import syscalls
from bizzmq.workers.process.child import ChildMain, ChildProcess
from bizzmq.workers.process.descendants import Descendants
from bizzmq.workers.worker.template import mark_of

_logger = logging.getLogger("bizzmq.supervisor")

ANSWER_S = 10.0
"""A template that has not answered for `n` seconds is stuck: a fork takes milliseconds, and a trial fork gives up."""
EXIT_S = 1.0
"""How long a template may take to exit before it is killed."""
_LOOK_S = 1.0

SEE = "bizzmq-worker --check-preload"


class TemplateState(Enum):
    """IMPORTING until its import has ended; UNSAFE means that each worker has to import by itself."""

    IMPORTING = "importing"
    READY = "ready"
    FAILED = "failed"
    UNSAFE = "unsafe"


class TemplateProcess(ChildProcess):
    """One template process.

    Args:
        descendants: ends what an import has started, when the template ends.

    Attributes:
        failure: why it is FAILED.
        danger: why it is UNSAFE.
        has_threads: its import has left threads.
        keeps: its import has left temporary files or children, which end with it and which its workers may need.
        died_importing: it is FAILED because its process ended without a message.
        app: what the app that it has imported declares; None for a plain handler.
    """

    def __init__(self, main: ChildMain, close_in_child: Callable[[], Iterable[int]], descendants: Descendants) -> None:
        super().__init__(main, close_in_child)
        self._descendants = descendants
        self._answer_by_s = math.inf
        self._unanswered = 0
        self._look_at_s = 0.0
        self.state = TemplateState.IMPORTING
        self.failure = BootFailure("")
        self.danger = ""
        self.has_threads = self.keeps = False
        self.died_importing = False
        self.app: Mapping[str, Any] | None = None

    def start(self) -> None:
        """Fork the template. If the system cannot fork now, it is FAILED."""
        try:
            self.fork()
        except OSError as error:
            self.state = TemplateState.FAILED
            self.failure = BootFailure(f"the template could not be forked: {error}")
            return
        log(_logger, logging.INFO, "template started", pid=self.pid)

    def spawn(self, worker: str, slot: int, descriptor: int) -> bool:
        """Have a worker forked, with this end of its channel; False if the template is not ready."""
        if self.channel is None or self.state is not TemplateState.READY:
            return False
        if not self.channel.send_descriptor(descriptor, Spawn(worker, slot)):
            return False
        self._expect(self._unanswered + 1)
        return True

    def _expect(self, answers: int) -> None:
        self._unanswered = answers
        self._answer_by_s = clock.monotonic() + ANSWER_S if answers else math.inf

    def receive(self) -> list[Spawned]:
        """The workers that were forked, or could not be. Keeps the template's own state up to date."""
        spawned = []
        for message in self.read(FROM_TEMPLATE):
            self._expect(max(0, self._unanswered - 1))
            if isinstance(message, Imported):
                self._expect(1)
            elif isinstance(message, TemplateReady):
                self.state = TemplateState.READY
                self.has_threads, self.keeps, self.app = message.has_threads, message.keeps, message.app
                self._log_ready(message)
            elif isinstance(message, BootFailure):
                self.state, self.failure = TemplateState.FAILED, message
            elif isinstance(message, Unsafe):
                self.state, self.danger = TemplateState.UNSAFE, message.why
            else:
                spawned.append(message)
        return spawned

    def _log_ready(self, message: TemplateReady) -> None:
        took_s = round(clock.monotonic() - self.started_s, 3)
        log(_logger, logging.INFO, "handler imported", pid=message.pid, import_s=took_s)
        if message.renewed:
            log(_logger, logging.INFO, "each worker has random numbers of its own", renewed=message.renewed)
        if message.danger:
            log(_logger, logging.WARNING, "workers are forked as --preload on says, which this may not bear",
                found=message.danger, see=SEE)  # fmt: skip

    def log_unsafe(self) -> None:
        """Log what the import has left, and what follows."""
        log(_logger, logging.WARNING, "each worker imports by itself", why=self.danger, see=SEE)

    def end_if_stuck(self) -> None:
        """Kill it if it does not answer, or is stopped while it imports. An import itself may take any time."""
        now_s = clock.monotonic()
        if not self.pid or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_S
        is_inspecting = self.state is TemplateState.IMPORTING and self._unanswered > 0
        if now_s >= self._answer_by_s:
            log(_logger, logging.ERROR, "the template does not answer and is killed", pid=self.pid, after_s=ANSWER_S)
        elif not (self.state is TemplateState.IMPORTING and syscalls.is_stopped(self.pid)):
            return
        else:
            log(_logger, logging.ERROR, "the template was stopped while it imported, and is killed", pid=self.pid)
        self.end()
        if is_inspecting:
            self.state = TemplateState.UNSAFE
            self.danger = "fork handler: a trial fork hangs, in what a library does before each fork"
        elif self.state is TemplateState.IMPORTING:
            self._fail_importing("was stopped")

    def _wait(self, pid: int) -> tuple[int, Any] | None:
        """Also end what its import has started."""
        return self._descendants.reap(pid, mark_of(pid))

    def reap_if_dead(self) -> None:
        """Note its death: from then on, its pid is 0."""
        ended = self.reap()
        if ended is None:
            return
        self.receive()
        self.close()
        self._expect(0)
        if self.state is TemplateState.IMPORTING:
            self._fail_importing(str(ended))

    def _fail_importing(self, how: str) -> None:
        self.state, self.died_importing = TemplateState.FAILED, True
        self.failure = BootFailure(f"the handler cannot be imported: its process {how} while doing so")

    def end(self) -> None:
        """End it. Its workers stay: they are not its children.

        It exits by itself when its channel closes, and removes its temporary files; if it does not, it is killed.
        """
        if self.channel is not None:
            self.channel.close()
        is_reading = not self._unanswered and self.state is not TemplateState.IMPORTING
        kill_at_s = clock.monotonic() + (EXIT_S if is_reading else 0.0)
        while self.pid and self.reap() is None:
            if clock.monotonic() >= kill_at_s:
                os.kill(self.pid, signal.SIGKILL)
                kill_at_s = math.inf
            clock.sleep(0.0005)
        self._expect(0)
        self.close()
