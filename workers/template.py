"""The template: a child that imports the handler once, and forks the workers.

So a respawn costs a fork instead of an import, and what was imported is shared memory. The template forks
twice, and the supervisor is a child subreaper: the worker becomes the supervisor's own child, whose exit
status and resource usage the supervisor sees.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from bizzmq import forks, handler, offspring
from bizzmq.errors import ConfigurationError
from bizzmq.logs import log
from bizzmq.workers import ending, exits, importing, platform, spawn
from bizzmq.workers.boot import FAILED, BootFailure, failure_of
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.memory import limit_below_start
from bizzmq.workers.preload import processes, text
from bizzmq.workers.preload.finding import Effect
from bizzmq.workers.preload.inspection import Inspection
from bizzmq.workers.titles import Title
from bizzmq.workers.worker import Worker

IMPORTED = "imported"
READY = "ready"
UNSAFE = "unsafe"
SPAWN = "spawn"
SPAWNED = "spawned"

_logger = logging.getLogger("bizzmq.template")

MakeWorker = Callable[[str, int, Channel], Worker]


@dataclass
class Template:
    """What a forked template starts from.

    Attributes:
        make_worker: builds the worker for an id, a slot, and its end of the channel.
    """

    config: WorkerConfig
    make_worker: MakeWorker
    channel: Channel
    title: Title
    _pid: int = 0

    def main(self) -> int:
        """The whole life of the process; returns its exit code."""
        try:
            return self._live()
        finally:
            if os.getpid() == self._pid:
                ending.run_finalizers()

    def _live(self) -> int:
        self._pid = os.getpid()
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it goes when its channel closes
        spawn.unblock_signals()
        platform.die_with_parent(signal.SIGKILL)
        self.title.show("importing")
        offspring.mark(mark_of(os.getpid()))
        importing.prepare(self.config)
        inspection = Inspection(forks.descriptors)
        try:
            function = importing.load(self.config)
        except (ConfigurationError, handler.HandlerImportError) as error:
            self.channel.send(op=FAILED, **failure_of(error))
            return exits.CANNOT_BOOT
        too_large = limit_below_start(self.config)
        if too_large:
            self.channel.send(op=FAILED, **BootFailure(too_large, code=exits.USAGE)._asdict())
            return exits.USAGE
        self.channel.send(op=IMPORTED)
        found = inspection.findings()
        danger = text.named(found, Effect.OFF)
        if danger and self.config.preload != "on":
            self.channel.send(op=UNSAFE, why=danger)
            return exits.DRAINED
        ending.flush_files()  # else each worker would write it once more
        gc.collect()
        gc.freeze()  # what was imported is never garbage: a collection in a worker must not copy its pages
        self.title.show("ready")
        self.channel.send(op=READY, pid=os.getpid(), danger=danger, renewed=text.named(found, Effect.RENEWED),
                          keeps=ending.has_finalizers() or bool(processes.children()),
                          has_threads=any("thread" in one.kind for one in found))  # fmt: skip
        return self._serve(function)

    def _serve(self, function: Any) -> int:
        poller = select.poll()
        poller.register(self.channel.fileno(), select.POLLIN)
        while True:
            poller.poll()
            for request in self.channel.receive():
                descriptor = self.channel.take_descriptor()
                if descriptor is None:
                    log(_logger, logging.ERROR, "the template has no descriptor left and makes room for another one")
                    return exits.INTERNAL_ERROR
                self._spawn(request, function, descriptor)
            if self.channel.closed:
                return exits.DRAINED

    def _spawn(self, request: Mapping[str, Any], function: Any, descriptor: int) -> None:
        worker = self.make_worker(request["worker"], request["slot"], Channel.of_descriptor(descriptor))
        worker.function = function
        try:
            reading, writing = os.pipe()
        except OSError as failure:
            self.channel.send(op=SPAWNED, worker=request["worker"], pid=0, error=str(failure))
            worker.channel.close()
            return

        def middle() -> int:
            try:
                pid = spawn.fork(worker.main, close=[*self.channel.descriptors(), reading, writing])
            except OSError as error:
                pid = -(error.errno or 0)
            os.write(writing, str(pid).encode("ascii"))
            return exits.DRAINED

        try:
            os.waitpid(spawn.fork(middle, close=[]), 0)
            os.close(writing)
            writing = -1
            pid = int(os.read(reading, 20) or b"0")
            error = os.strerror(-pid) if pid <= 0 else ""
        except OSError as failure:
            pid, error = 0, str(failure)
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        self.channel.send(op=SPAWNED, worker=request["worker"], pid=max(0, pid), error=error)
        worker.channel.close()  # not before: its end would be seen first, and not understood


def mark_of(pid: int) -> str:
    """The name under which a template marks what its import starts."""
    return f"template-{pid}"
