"""The template: a child of the supervisor that imports the handler once and forks the workers.

A new worker then costs a fork instead of an import, and workers share the memory of what was imported. The template
forks twice, and the supervisor is a child subreaper: so a worker becomes the supervisor's own child, and the supervisor
gets its exit status and resource usage.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Mapping

from bizzmq.consumer.handlers.loader import HandlerImportError
from bizzmq.errors import ConfigurationError
from bizzmq.utils import detached, forks
from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.template_messages import TO_TEMPLATE, Imported, Spawn, Spawned, TemplateReady, Unsafe
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.preload import patches, processes, report, signal_handlers
from bizzmq.workers.preload.finding import Effect, Finding
from bizzmq.workers.preload.inspection import Inspection
from bizzmq.workers.process import fork, syscalls
from bizzmq.workers.process.title import Title
from bizzmq.workers.worker import handler_import, orderly_exit
from bizzmq.workers.worker.worker import Worker

_logger = logging.getLogger("bizzmq.template")

MakeWorker = Callable[[str, int, Channel], Worker]


@dataclass
class Template:
    """One template process, from its fork to its exit.

    Attributes:
        make_worker: makes the worker for an id, a slot, and the worker's end of the channel.
    """

    config: WorkerConfig
    make_worker: MakeWorker
    channel: Channel
    title: Title
    _pid: int = 0
    _handlers: Mapping[int, Any] = field(default_factory=dict)

    def main(self) -> int:
        """Run the process from start to end, and return its exit code."""
        self._pid = os.getpid()
        try:
            return self._run()
        finally:
            if os.getpid() == self._pid:
                orderly_exit.run_finalizers()

    def _run(self) -> int:
        self._set_up()
        inspection = Inspection(forks.descriptors)
        try:
            function = handler_import.load(self.config)
        except (ConfigurationError, HandlerImportError) as error:
            self.channel.send(handler_import.boot_failure_of(error))
            return exit_codes.CANNOT_BOOT
        problem = handler_import.memory_problem(self.config)
        if problem is not None:
            self.channel.send(BootFailure(problem, code=exit_codes.USAGE))
            return exit_codes.USAGE
        self.channel.send(Imported())
        self._handlers = signal_handlers.of_the_user(inspection.signals, signal_handlers.installed())
        found = inspection.findings()
        _ignore_signals()  # the import may have installed handlers
        danger = report.summary(found, Effect.OFF)
        # A monkey patch also breaks the template's own loop, so `--preload on` does not help there.
        if danger and (self.config.preload != "on" or found[0].kind == patches.KIND):
            self.channel.send(Unsafe(danger))
            return exit_codes.DRAINED
        self._get_ready(found, danger, handler_import.description_of(function))
        return self._serve(function)

    def _set_up(self) -> None:
        _ignore_signals()
        fork.unblock_signals()
        syscalls.die_with_parent(signal.SIGKILL)
        self.title.show("importing")
        detached.mark(mark_of(os.getpid()))
        handler_import.prepare(self.config)

    def _get_ready(self, found: Collection[Finding], danger: str, app: Mapping[str, Any] | None) -> None:
        """Prepare this process for being forked, and report it ready."""
        orderly_exit.flush_files()  # otherwise each worker would write the buffered data again
        gc.collect()
        gc.freeze()  # what was imported is never garbage: a collection in a worker must not copy its pages
        self.title.show("ready")
        self.channel.send(
            TemplateReady(
                pid=os.getpid(),
                danger=danger,
                renewed=report.summary(found, Effect.RENEWED),
                keeps=orderly_exit.has_finalizers() or bool(processes.children()),
                has_threads=any("thread" in one.kind for one in found),
                app=app,
            )
        )

    def _serve(self, function: Any) -> int:
        """Fork a worker for each request, until the supervisor closes the channel."""
        poller = select.poll()
        poller.register(self.channel.fileno(), select.POLLIN)
        while True:
            poller.poll()
            for request in self.channel.receive(TO_TEMPLATE):
                descriptor = self.channel.take_descriptor()
                if descriptor is None:
                    log(_logger, logging.ERROR, "the template has no descriptor left and makes room for another one")
                    return exit_codes.INTERNAL_ERROR
                self._spawn(request, function, descriptor)
            if self.channel.closed:
                return exit_codes.DRAINED

    def _spawn(self, request: Spawn, function: Any, descriptor: int) -> None:
        worker = self.make_worker(request.worker, request.slot, Channel.of_descriptor(descriptor))
        worker.function, worker.handlers = function, self._handlers
        try:
            pid, problem = self._fork_twice(worker.main), ""
        except OSError as error:
            pid, problem = 0, error.strerror or str(error)
        self.channel.send(Spawned(request.worker, pid, problem))
        worker.channel.close()  # only now: the supervisor must see the message before the channel's end

    def _fork_twice(self, main: Callable[[], int]) -> int:
        """Run `main` in a grandchild, which the supervisor adopts; returns its pid. Raises OSError."""
        reading, writing = os.pipe()

        def fork_grandchild() -> int:
            try:
                pid = fork.fork(main, close=[*self.channel.descriptors(), reading, writing])
            except OSError as error:
                pid = -(error.errno or 0)
            os.write(writing, str(pid).encode("ascii"))
            return exit_codes.DRAINED

        try:
            os.waitpid(fork.fork(fork_grandchild, close=[]), 0)
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        try:
            pid = int(os.read(reading, 20) or b"0")
        finally:
            os.close(reading)
        if pid <= 0:
            raise OSError(-pid, os.strerror(-pid) if pid else "the process between template and worker has died")
        return pid


def _ignore_signals() -> None:
    """The template ends when its channel closes, and at no signal."""
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def mark_of(pid: int) -> str:
    """The mark of the processes that a template's import starts."""
    return f"template-{pid}"
