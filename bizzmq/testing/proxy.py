"""A faulty network between client and server: a TCP proxy that stalls, cuts and loses replies on demand."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

from bizzmq.testing.link import TO_CLIENT, TO_SERVER, Fault, Link, ProxyState
from bizzmq.testing.ports import LOOPBACK, free_port

_ACCEPT_POLL_S = 0.02


class Proxy:
    """Forwards one port of 127.0.0.1 to the server of `upstream_url`; `url` leads through it.

    Requests are matched by bytes in one received chunk, which is enough for clients that write each request
    with one sendall. A context manager: leaving it closes all sockets and joins all threads.
    """

    def __init__(self, upstream_url: str) -> None:
        self._parts = urlsplit(upstream_url)
        self._upstream = (self._parts.hostname or LOOPBACK, self._parts.port or 6379)
        self._state = ProxyState()
        self._links: list[Link] = []
        self._refusing = threading.Event()
        self._listener: threading.Thread | None = None
        self.port = free_port()
        self.connections = 0
        self.accept()

    @property
    def url(self) -> str:
        """The upstream URL with the proxy's address."""
        userinfo, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{userinfo}{at}{LOOPBACK}:{self.port}"))

    @property
    def requests(self) -> int:
        """The number of chunks received from clients so far."""
        return self._state.requests

    @property
    def replies(self) -> int:
        """The number of chunks passed on to clients so far."""
        return self._state.replies

    @property
    def open_connections(self) -> int:
        return sum(link.open for link in self._links)

    def stall(self, to_server: bool = True, to_client: bool = True) -> None:
        """Hold back all data in these directions; old and new connections stay open.

        With `to_server=False` requests are executed and only the replies are held back.
        """
        with self._state.changed:
            self._state.stalled = {TO_SERVER} if to_server else set()
            self._state.stalled |= {TO_CLIENT} if to_client else set()
            self._state.changed.notify_all()

    def resume(self) -> None:
        """Let data flow again, starting with what was held back."""
        self.stall(to_server=False, to_client=False)

    def cut(self) -> None:
        """Close all connections on both sides; returns when they are closed."""
        links = list(self._links)  # a connection that is accepted meanwhile counts as a later one
        for link in links:
            link.cut()
        for link in links:
            link.join()

    def cut_client_side(self) -> None:
        """Close all connections to the clients only: to the server they look alive until `cut`."""
        for link in list(self._links):
            link.cut_client_side()

    def cut_server_side(self) -> None:
        """Close all connections to the server only: to the clients they look alive until `cut`."""
        for link in list(self._links):
            link.cut_server_side()

    def swallow_reply(self, nth: int, match: bytes = b"EVALSHA") -> Fault:
        """Let the nth request from now that contains `match` be executed, drop its reply, cut its connection.

        The client gets its error after the execution. `match` can also be the SHA of a script, or a key.
        """
        return self._arm(Fault(match, nth, executes=True))

    def swallow_next_reply(self, match: bytes = b"EVALSHA") -> Fault:
        """Like swallow_reply, for the next such request."""
        return self.swallow_reply(1, match)

    def lose_request(self, nth: int = 1, match: bytes = b"EVALSHA") -> Fault:
        """Cut the connection of the nth request that contains `match` instead of passing the request on."""
        return self._arm(Fault(match, nth, executes=False))

    def refuse(self) -> None:
        """Refuse new connections and keep the existing ones. Returns when the port is closed."""
        self._refusing.set()
        if self._listener is not None:
            self._listener.join()
            self._listener = None

    def accept(self) -> None:
        """Accept new connections again, on the same port."""
        if self._listener is not None:
            return
        self._refusing.clear()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, self.port))
        listening.listen(128)
        listening.settimeout(_ACCEPT_POLL_S)
        self._listener = threading.Thread(target=self._listen, args=(listening,), name="proxy", daemon=True)
        self._listener.start()

    def close(self) -> None:
        """Close everything; may be called twice."""
        self.refuse()
        self.cut()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _arm(self, fault: Fault) -> Fault:
        with self._state.changed:
            self._state.faults.append(fault)
        return fault

    def _listen(self, listening: socket.socket) -> None:
        with listening:
            while not self._refusing.is_set():
                try:
                    client, _ = listening.accept()
                except OSError:  # no client connected within the poll time
                    continue
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        client.settimeout(None)
        try:
            server = socket.create_connection(self._upstream, timeout=5.0)
        except OSError:
            client.close()
            return
        for side in (client, server):
            side.settimeout(None)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self._links = [link for link in self._links if link.open]
        self._links.append(Link(client, server, self._state))
