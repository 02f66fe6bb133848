"""Small JSON messages between the supervisor and one child; neither side ever blocks on the other."""

from __future__ import annotations

import json
import socket
from typing import Any, Mapping


class Channel:
    """One end of a socket pair. Its end of file means that the other process is gone."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._incoming = b""
        self._outgoing = b""
        self.closed = False

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether something still waits to be sent; call `flush` when the socket is writable."""
        return bool(self._outgoing) and not self.closed

    def send(self, **message: Any) -> None:
        """Send a message, or keep it until the other side reads again. Lost if that side is gone."""
        self._outgoing += json.dumps(message).encode("utf-8") + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits to be sent."""
        while self._outgoing and not self.closed:
            try:
                sent = self._socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            self._outgoing = self._outgoing[sent:]

    def receive(self) -> list[Mapping[str, Any]]:
        """The messages that have arrived whole. Sets `closed` when the other side is gone."""
        while not self.closed:
            try:
                chunk = self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self.closed = True
                break
            self._incoming += chunk
        *lines, self._incoming = self._incoming.split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self.closed = True
        self._socket.close()
