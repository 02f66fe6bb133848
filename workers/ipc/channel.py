"""Small JSON messages between the supervisor and one child. Neither side ever blocks on the other.

A message may carry a descriptor. That is how a worker that the template forks gets its own channel.
"""

from __future__ import annotations

import array
import json
import socket
from collections import deque
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Mapping, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

_LOST = -1
"""Stands for a descriptor that has not come through."""


@dataclass(frozen=True)
class ChannelMessage:
    """What passes through a channel: a frozen dataclass with fields that JSON can hold.

    Attributes:
        op: its name in the channel, unique among the messages of one direction.
    """

    op: ClassVar[Enum]

    def fields(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Self:
        """The message with these fields, as they have come out of JSON."""
        return cls(**fields)


M = TypeVar("M", bound=ChannelMessage)
M_co = TypeVar("M_co", bound=ChannelMessage, covariant=True)


class Direction(Generic[M_co]):
    """The messages that one side of a channel may send.

    Attributes:
        kinds: their classes.
    """

    def __init__(self, *kinds: type[M_co]) -> None:
        self.kinds = kinds
        self._kinds = {kind.op.value: kind for kind in kinds}

    def decode(self, line: bytes) -> M_co:
        """One message of this direction."""
        fields = json.loads(line)
        return self._kinds[fields.pop("op")].of_fields(fields)


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
        """Both ends of a new channel.

        Raises:
            OSError: the process may not open more descriptors.
        """
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def descriptors(self) -> list[int]:
        """Its own descriptor and those that were received and not taken yet: a forked child has to close them."""
        return [self.fileno(), *(descriptor for descriptor in self._descriptors if descriptor != _LOST)]

    @property
    def unsent(self) -> bool:
        """Whether something still waits to be sent; call `flush` when the socket is writable."""
        return bool(self._outgoing) and not self.closed

    def send(self, message: ChannelMessage) -> None:
        """Send a message, or keep it until the other side reads again. It is lost if the other side is gone."""
        self._outgoing += _encode(message)
        self.flush()

    def send_descriptor(self, descriptor: int, message: ChannelMessage) -> bool:
        """Send a message with a descriptor; False if that is not possible at once. The caller keeps its own copy."""
        self.flush()
        if self._outgoing or self.closed:
            return False
        data = _encode(message)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            sent = self._socket.sendmsg([data], rights)
        except OSError:
            return False
        self._outgoing = data[sent:]
        return True

    def take_descriptor(self) -> int | None:
        """The descriptor that came with the oldest message whose descriptor was not taken yet.

        None if it was lost because this process may not open one more.
        """
        descriptor = self._descriptors.popleft() if self._descriptors else _LOST
        return None if descriptor == _LOST else descriptor

    def flush(self) -> None:
        """Send what waits to be sent, as far as that is possible at once."""
        while self._outgoing and not self.closed:
            try:
                sent = self._socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            self._outgoing = self._outgoing[sent:]

    def receive(self, direction: Direction[M]) -> list[M]:
        """The complete messages that have arrived. Sets `closed` when the other side is gone."""
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
        return [direction.decode(line) for line in lines]

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
        """Close this end. May be called twice."""
        self.closed = True
        self._socket.close()


def _encode(message: ChannelMessage) -> bytes:
    return json.dumps({"op": message.op.value, **message.fields()}).encode("utf-8") + b"\n"
