"""One connection through the proxy, with the faults that can be done to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Callable

TO_SERVER, TO_CLIENT = "to_server", "to_client"
CHUNK_BYTES = 65_536
_EXECUTION_S = 10.0


@dataclass
class Fault:
    """A fault armed for one request: the `nth` (from 1) of those that contain `match`.

    If it `executes`, the request reaches the server and only its reply is lost; else the request is lost.
    """

    match: bytes
    nth: int
    executes: bool
    happened: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout_s: float = 5.0) -> None:
        """Return when the fault has happened and its connection is cut; AssertionError if not in time."""
        assert self.happened.wait(timeout_s), f"no request with {self.match!r} came in {timeout_s:g} s"


class Weather:
    """What all links of one proxy share: the directions that are stalled, armed faults, counters."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stalled: set[str] = set()
        self.faults: list[Fault] = []
        self.requests = 0
        self.replies = 0

    def fault_for(self, request: bytes) -> Fault | None:
        """Count one request; return the fault that it triggers, which is then no longer armed."""
        with self.changed:
            self.requests += 1
            due: Fault | None = None
            for fault in [fault for fault in self.faults if fault.match in request]:
                fault.nth -= 1
                if fault.nth <= 0 and due is None:
                    due = fault
                    self.faults.remove(fault)
            return due


class Link:
    """Two sockets and the two threads that copy between them."""

    def __init__(self, client: socket.socket, server: socket.socket, weather: Weather) -> None:
        self._client, self._server, self._weather = client, server, weather
        self._losing: Fault | None = None  # takes the next reply
        self._half_open = False
        self._cut = False
        self._threads = [
            threading.Thread(target=self._run, args=(pump,), name="proxy-link", daemon=True)
            for pump in (self._pump_requests, self._pump_replies)
        ]
        self._running = len(self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def open(self) -> bool:
        """Whether either side is still connected."""
        return self._running > 0

    def cut(self) -> None:
        """Close both sides."""
        with self._weather.changed:
            self._cut = True
            self._weather.changed.notify_all()
        _shutdown(self._client)
        _shutdown(self._server)

    def cut_client_side(self) -> None:
        """Close the client's side only: the server goes on believing that its client is there."""
        self._half_open = True
        _shutdown(self._client)

    def cut_server_side(self) -> None:
        """Close the server's side only: the client goes on waiting for a reply."""
        self._half_open = True
        _shutdown(self._server)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, pump: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            pump()
        if not self._half_open:
            self.cut()
        with self._weather.changed:
            self._running -= 1
            last = self._running == 0
        if last:  # never earlier: a descriptor that the other thread still uses could become another connection
            self._client.close()
            self._server.close()

    def _pump_requests(self) -> None:
        while True:
            request = self._client.recv(CHUNK_BYTES)
            if not request or not self._flows(TO_SERVER):
                return
            fault = self._weather.fault_for(request)
            if fault is not None and not fault.executes:
                self.cut()
                fault.happened.set()
                return
            if fault is not None:
                self._losing = fault  # before the request leaves, so that its reply cannot slip through
            self._deliver(self._server, request)

    def _pump_replies(self) -> None:
        while True:
            reply = self._server.recv(CHUNK_BYTES)
            if not reply:
                return
            if self._losing is not None:
                self._lose_reply(self._losing)
                return
            if not self._flows(TO_CLIENT):
                return
            with self._weather.changed:
                self._weather.replies += 1
            self._deliver(self._client, reply)

    def _lose_reply(self, fault: Fault) -> None:
        """Drop all of the reply, see the server finish with this connection, then let the client know."""
        self._server.shutdown(socket.SHUT_WR)
        self._server.settimeout(_EXECUTION_S)
        with contextlib.suppress(OSError):
            while self._server.recv(CHUNK_BYTES):
                pass
        self.cut()
        fault.happened.set()

    def _flows(self, direction: str) -> bool:
        """Wait out a stall; False if the link was cut meanwhile."""
        with self._weather.changed:
            self._weather.changed.wait_for(lambda: self._cut or direction not in self._weather.stalled)
        return not self._cut

    def _deliver(self, receiver: socket.socket, data: bytes) -> None:
        try:
            receiver.sendall(data)
        except OSError:
            if not self._half_open:  # else what the open side sends vanishes, as on a broken cable
                raise


def _shutdown(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
