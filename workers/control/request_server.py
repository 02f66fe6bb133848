"""A server for short requests, run by the supervisor's loop. It never waits for a client."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field
from typing import Callable

from bizzmq.utils import clock

MAX_CLIENTS = 16
MAX_REQUEST_BYTES = 4096
TIMEOUT_S = 5.0
"""A client that has not received its reply within this time is dropped."""
_ACCEPT_PAUSE_S = 1.0
"""How long no client is accepted after the system has run out of descriptors."""

Answer = Callable[[bytes], "bytes | None"]


@dataclass
class _Client:
    connection: socket.socket
    give_up_s: float
    request: bytes = b""
    reply: bytes | None = field(default=None, repr=False)
    is_answered: bool = False


class RequestServer:
    """Answers one request per connection, then closes it. A new client replaces the oldest one when the server is full.

    Args:
        listener: bound and listening; closed with the server.
        answer: takes what a client has sent so far; returns the whole reply, or None while the request is incomplete.
        too_large: the reply to a request that is incomplete after MAX_REQUEST_BYTES.
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
        self._paused_until_s = 0.0

    def descriptors(self) -> list[int]:
        """The open descriptors, which a forked child has to close."""
        return [self._listener.fileno(), *(client.connection.fileno() for client in self._clients)]

    def interests(self) -> list[tuple[int, int]]:
        """The descriptors to poll, each with its events."""
        watched = [(c.connection.fileno(), select.POLLOUT if c.reply else select.POLLIN) for c in self._clients]
        if self._now_s() >= self._paused_until_s:
            watched.append((self._listener.fileno(), select.POLLIN))
        return watched

    def next_due_s(self) -> float:
        """When the next client times out, in monotonic seconds."""
        return min((client.give_up_s for client in self._clients), default=float("inf"))

    def serve(self) -> None:
        """Accept, read and write as far as possible without waiting."""
        self._accept()
        now_s = self._now_s()
        for client in list(self._clients):
            if not self._advance(client) or now_s >= client.give_up_s:
                self._drop(client)

    def close(self) -> None:
        """Drop all clients, and stop listening."""
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(MAX_CLIENTS):
            if self._now_s() < self._paused_until_s:
                return
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left: without a pause, poll would report the same client again and again
                self._paused_until_s = self._now_s() + _ACCEPT_PAUSE_S
                return
            connection.setblocking(False)
            if len(self._clients) == MAX_CLIENTS:
                self._drop(self._clients[0])
            self._clients.append(_Client(connection, self._now_s() + TIMEOUT_S))

    def _advance(self, client: _Client) -> bool:
        """Read and write as far as possible without waiting; False when the client is served or gone."""
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
                # Closing with unread data, or with data still on its way, resets the connection, and the client may
                # lose the reply. So data is read and discarded until the client closes the connection or times out.
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
