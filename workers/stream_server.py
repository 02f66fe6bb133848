"""Short requests from outside, answered in the supervisor's loop, which waits for none of its clients."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field
from typing import Callable

from bizzmq import clock

MAX_CLIENTS = 16
MAX_REQUEST_BYTES = 4096
PATIENCE_S = 5.0
"""A client that has not got its answer by then is dropped."""
_DEAF_S = 1.0
"""How long nobody is accepted after the system has run out of descriptors."""

Answer = Callable[[bytes], "bytes | None"]


@dataclass
class _Client:
    connection: socket.socket
    give_up_s: float
    request: bytes = b""
    reply: bytes | None = field(default=None, repr=False)
    is_answered: bool = False


class StreamServer:
    """Answers one request for each connection, then closes it. Whoever comes when it is full drives out the oldest.

    Args:
        listener: bound and listening; it is closed with the server.
        answer: the whole reply to what a client has sent so far; None while the request is not whole.
        too_large: the reply to a request that is not whole after MAX_REQUEST_BYTES.
    """

    def __init__(
        self,
        listener: socket.socket,
        answer: Answer,
        now_s: clock.Monotonic = clock.monotonic,
        too_large: bytes = b"",
    ) -> None:
        self._too_large = too_large
        listener.setblocking(False)
        self._listener = listener
        self._answer = answer
        self._now_s = now_s
        self._clients: list[_Client] = []
        self._deaf_until_s = 0.0

    def descriptors(self) -> list[int]:
        """All that it holds open, for a forked child to close."""
        return [self._listener.fileno(), *(client.connection.fileno() for client in self._clients)]

    def interests(self) -> list[tuple[int, int]]:
        """What a poll has to watch: descriptors with their events."""
        watched = [(c.connection.fileno(), select.POLLOUT if c.reply else select.POLLIN) for c in self._clients]
        if self._now_s() >= self._deaf_until_s:
            watched.append((self._listener.fileno(), select.POLLIN))
        return watched

    def next_due_s(self) -> float:
        """When somebody has to be dropped, if nothing happens before. Monotonic seconds."""
        return min((client.give_up_s for client in self._clients), default=float("inf"))

    def serve(self) -> None:
        """Do all that can be done without waiting."""
        self._accept()
        now_s = self._now_s()
        for client in list(self._clients):
            if not self._advance(client) or now_s >= client.give_up_s:
                self._drop(client)

    def close(self) -> None:
        """Drop everybody, and listen no more."""
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(MAX_CLIENTS):
            if self._now_s() < self._deaf_until_s:
                return
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors are left: polling would find the same client again, without end
                self._deaf_until_s = self._now_s() + _DEAF_S
                return
            connection.setblocking(False)
            if len(self._clients) == MAX_CLIENTS:
                self._drop(self._clients[0])
            self._clients.append(_Client(connection, self._now_s() + PATIENCE_S))

    def _advance(self, client: _Client) -> bool:
        """Read and write as far as that goes; False if the client is served, or gone."""
        try:
            if client.is_answered:
                return bool(client.connection.recv(65536))
            if client.reply is None:
                chunk = client.connection.recv(MAX_REQUEST_BYTES)
                client.request += chunk
                client.reply = self._answer(client.request)
                if client.reply is None and len(client.request) >= MAX_REQUEST_BYTES:
                    client.reply = self._too_large
                if client.reply is None:
                    return bool(chunk)
            client.reply = client.reply[client.connection.send(client.reply) :]
            if not client.reply:
                # Closing while something unread is here, or on its way, would reset the connection, and the client
                # might lose the reply. So it is read and dropped until the client has closed, or time is up.
                client.is_answered = True
                client.connection.shutdown(socket.SHUT_WR)
                return bool(client.connection.recv(65536))
            return True
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        client.connection.close()
