"""Small JSON messages between the supervisor and one child; neither side ever blocks on the other.

A message may carry a descriptor, which is how a worker that the template forks gets its own channel.
"""

from __future__ import annotations

import array
import json
import socket
from collections import deque
from typing import Any, Mapping

_LOST = -1
"""Stands for a descriptor that has not come through."""


class Channel:
    """One end of a socket pair. Its end of file means that the other process is gone."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._incoming = b""
        self._outgoing = b""
        self._descriptors: deque[int] = deque()
        self.closed = False

    @classmethod
    def of_descriptor(cls, descriptor: int) -> Channel:
        """A channel on a descriptor that has been received."""
        return cls(socket.socket(fileno=descriptor))

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def descriptors(self) -> list[int]:
        """Its own and those that have come with messages and were not taken yet: a forked child has to close them."""
        return [self.fileno(), *(descriptor for descriptor in self._descriptors if descriptor != _LOST)]

    @property
    def unsent(self) -> bool:
        """Whether something still waits to be sent; call `flush` when the socket is writable."""
        return bool(self._outgoing) and not self.closed

    def send(self, **message: Any) -> None:
        """Send a message, or keep it until the other side reads again. Lost if that side is gone."""
        self._outgoing += json.dumps(message).encode("utf-8") + b"\n"
        self.flush()

    def send_descriptor(self, descriptor: int, **message: Any) -> bool:
        """Send a message with a descriptor; False if that cannot be done at once. The caller keeps its own copy."""
        self.flush()
        if self._outgoing or self.closed:
            return False
        data = json.dumps(message).encode("utf-8") + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            sent = self._socket.sendmsg([data], rights)
        except OSError:
            return False
        self._outgoing = data[sent:]
        return True

    def take_descriptor(self) -> int | None:
        """The descriptor that came with the oldest message whose one has not been taken yet.

        None if it has been lost, since this process may not have one more.
        """
        descriptor = self._descriptors.popleft() if self._descriptors else _LOST
        return None if descriptor == _LOST else descriptor

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
                chunk = self._receive_chunk()
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

    def _receive_chunk(self) -> bytes:
        space = socket.CMSG_SPACE(8 * array.array("i").itemsize)
        chunk, ancillary, flags, _ = self._socket.recvmsg(65536, space)
        if flags & socket.MSG_CTRUNC:
            self._descriptors.append(_LOST)
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
                self._descriptors.extend(numbers)
        return chunk

    def close(self) -> None:
        self.closed = True
        self._socket.close()
