"""One proxied connection, and the faults that can hit it."""

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
    """A fault for one request: the `nth` (from 1) of those that contain `match`.

    With `executes` the request reaches the server and only its reply is lost; otherwise the request is lost.
    """

    match: bytes
    nth: int
    executes: bool
    happened: threading.Event = field(default_factory=threading.Event)

    def wait(self, timeout_s: float = 30.0) -> None:
        """Return when the fault has happened and its connection is cut; AssertionError if not in time."""
        assert self.happened.wait(timeout_s), f"no request with {self.match!r} came in {timeout_s:g} s"


class ProxyState:
    """The state that all links of one proxy share: stalled directions, armed faults, counters."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.stalled: set[str] = set()
        self.faults: list[Fault] = []
        self.requests = 0
        self.replies = 0

    def fault_for(self, request: bytes) -> Fault | None:
        """Count one request; return the fault that it triggers, and disarm that fault."""
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

    def __init__(self, client: socket.socket, server: socket.socket, state: ProxyState) -> None:
        self._client, self._server, self._state = client, server, state
        self._losing: Fault | None = None  # swallows the next reply
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
        with self._state.changed:
            self._cut = True
            self._state.changed.notify_all()
        _shutdown(self._client)
        _shutdown(self._server)

    def cut_client_side(self) -> None:
        """Close the client's side only: to the server the client still seems connected."""
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
        with self._state.changed:
            self._running -= 1
            last = self._running == 0
        if last:  # not earlier: a descriptor that the other thread still uses could be reused for another connection
            self._client.close()
            self._server.close()

    def _pump_requests(self) -> None:
        while True:
            request = self._client.recv(CHUNK_BYTES)
            if not request or not self._flows(TO_SERVER):
                return
            fault = self._state.fault_for(request)
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
            with self._state.changed:
                self._state.replies += 1
            self._deliver(self._client, reply)

    def _lose_reply(self, fault: Fault) -> None:
        """Drop the whole reply, wait until the server has closed its side, then close the client's side."""
        self._server.shutdown(socket.SHUT_WR)
        self._server.settimeout(_EXECUTION_S)
        with contextlib.suppress(OSError):
            while self._server.recv(CHUNK_BYTES):
                pass
        self.cut()
        fault.happened.set()

    def _flows(self, direction: str) -> bool:
        """Wait out a stall; False if the link was cut meanwhile."""
        with self._state.changed:
            self._state.changed.wait_for(lambda: self._cut or direction not in self._state.stalled)
        return not self._cut

    def _deliver(self, receiver: socket.socket, data: bytes) -> None:
        try:
            receiver.sendall(data)
        except OSError:
            if not self._half_open:  # otherwise what the open side sends is lost, as on a broken cable
                raise


def _shutdown(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
