"""What others can reach of a pool: control socket, health port, service manager, process title.

All of it runs in the supervisor's own loop, so that an answer proves that the loop runs.
"""

from __future__ import annotations

import logging
import select
import socket

from bizzmq.metrics.prometheus import render_pool
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.control import control_socket, health
from bizzmq.workers.control.control_socket import ControlSocket
from bizzmq.workers.control.request_server import RequestServer
from bizzmq.workers.control.systemd import Notifier, ServiceState
from bizzmq.workers.process.title import supervisor_title
from bizzmq.workers.supervisor.status import PoolStatus

_logger = logging.getLogger("bizzmq.supervisor")


class ListeningSockets:
    """The sockets that others connect to, bound before anything is started.

    Raises:
        ConfigurationError: one of them cannot be bound; then none is left open.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self.health: socket.socket | None = None
        self.control: ControlSocket | None = None
        if config.health_port is not None:
            self.health = health.listen(config.health_host, config.health_port)
        try:
            if config.control != control_socket.OFF:
                self.control = ControlSocket(config.control)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the sockets. May be called twice."""
        if self.health is not None:
            self.health.close()
        if self.control is not None:
            self.control.close()


class Endpoints:
    """Serves the sockets, and reports changes to the service manager.

    Call `register` before each poll and `serve` after it; neither ever waits.
    """

    def __init__(self, sockets: ListeningSockets, status: PoolStatus, config: WorkerConfig) -> None:
        self._sockets = sockets
        self._status = status
        self._notifier = Notifier()
        self._title = supervisor_title(config.queues)
        self._ever_ready = False
        self._servers: list[RequestServer] = []
        if sockets.control is not None:
            answers = {
                control_socket.STATUS: status.snapshot,
                control_socket.CHECK: status.check,
                control_socket.READY: lambda: status.readiness_problem() or "ok",
                control_socket.IDLE: lambda: status.busy_with() or "ok",
            }
            self._servers.append(
                RequestServer(
                    sockets.control.listener, control_socket.answer_with(answers), too_large=control_socket.TOO_LARGE
                )
            )
        if sockets.health is not None:
            answer = health.answer_with(
                config.health_token,
                status.readiness_problem,
                lambda accept: render_pool(status.measured(), accept),
                status.wanted,
            )
            self._servers.append(RequestServer(sockets.health, answer, too_large=health.too_large()))

    def announce(self) -> None:
        """Log the addresses of the sockets."""
        if self._sockets.control is not None:
            log(_logger, logging.INFO, "control socket open", path=str(self._sockets.control.path))
        if self._sockets.health is not None:
            host, port = self._sockets.health.getsockname()[:2]
            log(_logger, logging.INFO, "health port open", host=host, port=port)

    def descriptors(self) -> list[int]:
        """All open descriptors, for a forked child to close."""
        return [*self._notifier.descriptors(), *(fd for server in self._servers for fd in server.descriptors())]

    def tick(self) -> None:
        """Report what has changed."""
        state = self._status.state()
        self._ever_ready = self._ever_ready or self._status.working > 0
        self._title.show(state)
        self._notifier.tick(
            ServiceState(
                ready=self._ever_ready,
                reloads=self._status.reloads,
                reloading=self._status.reloading,
                stopping=state in ("draining", "stopping"),
                text=self._status.headline(),
            )
        )

    def register(self, poller: select.poll) -> float:
        """Add what is to be watched; returns when something is due. Monotonic seconds."""
        for server in self._servers:
            for descriptor, events in server.interests():
                poller.register(descriptor, events)
        return min([self._notifier.next_due_s(), *(server.next_due_s() for server in self._servers)])

    def serve(self) -> None:
        """Answer requests."""
        for server in self._servers:
            server.serve()

    def close(self) -> None:
        """Close everything: the pool ends. May be called twice."""
        self._notifier.close()
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._sockets.close()
