"""The pool's face to the outside: control socket, health port, service manager, process title.

All of it lives in the supervisor's own loop, so that an answer proves that the loop turns.
"""

from __future__ import annotations

import logging
import select
import socket

from bizzmq.logs import log
from bizzmq.workers import control, health
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.control import ControlSocket
from bizzmq.workers.notify import Facts, Notifier
from bizzmq.workers.status import PoolStatus
from bizzmq.workers.stream_server import StreamServer
from bizzmq.workers.titles import supervisor_title

_logger = logging.getLogger("bizzmq.supervisor")


class Doors:
    """The sockets that others connect to, bound before anything is started.

    Raises:
        ConfigurationError: one of them cannot be had; then none is left open.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.health: socket.socket | None = None
        self.control: ControlSocket | None = None
        if config.health_port is not None:
            self.health = health.listen(config.health_host, config.health_port)
        try:
            if config.control != control.OFF:
                self.control = ControlSocket(config.control)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """May be called twice."""
        if self.health is not None:
            self.health.close()
        if self.control is not None:
            self.control.close()


class Front:
    """Serves the doors, and tells the service manager what changes.

    `register` before each poll and `serve` after it; neither ever waits.
    """

    def __init__(self, doors: Doors, status: PoolStatus, config: WorkerConfig) -> None:
        self._doors = doors
        self._status = status
        self._notifier = Notifier()
        self._title = supervisor_title(config.queues)
        self._ever_ready = False
        self._servers: list[StreamServer] = []
        if doors.control is not None:
            answers = {
                control.STATUS: status.snapshot,
                control.CHECK: status.check,
                control.READY: lambda: status.why_not_ready() or "ok",
            }
            self._servers.append(
                StreamServer(doors.control.listener, control.answer_with(answers), too_large=control.TOO_LARGE)
            )
        if doors.health is not None:
            answer = health.answer_with(config.health_token, status.why_not_ready)
            self._servers.append(StreamServer(doors.health, answer, too_large=health.too_large()))

    def announce(self) -> None:
        """Log where the pool can be asked."""
        if self._doors.control is not None:
            log(_logger, logging.INFO, "control socket open", path=str(self._doors.control.path))
        if self._doors.health is not None:
            host, port = self._doors.health.getsockname()[:2]
            log(_logger, logging.INFO, "health port open", host=host, port=port)

    def descriptors(self) -> list[int]:
        """All that it holds open, for a forked child to close."""
        return [*self._notifier.descriptors(), *(fd for server in self._servers for fd in server.descriptors())]

    def tick(self) -> None:
        """Tell what has changed."""
        state = self._status.state()
        self._ever_ready = self._ever_ready or self._status.working > 0
        self._title.show(state)
        self._notifier.tick(
            Facts(
                ready=self._ever_ready,
                reloads=self._status.reloads,
                reloading=self._status.reloading,
                stopping=state in ("draining", "stopping"),
                text=self._status.headline(),
            )
        )

    def register(self, poller: select.poll) -> float:
        """Add what is to be watched; returns when something is due at the latest. Monotonic seconds."""
        for server in self._servers:
            for descriptor, events in server.interests():
                poller.register(descriptor, events)
        return min([self._notifier.next_due_s(), *(server.next_due_s() for server in self._servers)])

    def serve(self) -> None:
        """Answer who asks."""
        for server in self._servers:
            server.serve()

    def close(self) -> None:
        """The pool ends. May be called twice."""
        self._notifier.close()
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._doors.close()
