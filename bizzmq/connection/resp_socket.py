"""RESP over the socket of a connection that redis-py has opened, without redis-py's work around each command.

redis-py connects, negotiates TLS, authenticates and selects the database. After that, a reply is a read and a parse.
redis-py's own way there costs several times as much, because it supports timeouts of single calls, push messages and
retries. So commands are packed and replies are parsed by hiredis here, as redis-py does it, directly from and to the
socket. The figures are in docs/internals/performance.md.

hiredis receives text and bytes only. It does not check whether a number could be written out; that fails if a signal
handler raises at that moment, and hiredis then ends the process (docs/internals/upstream/hiredis-pack-command.md).
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Callable, Sequence

import hiredis
from redis import exceptions

from bizzmq.connection import tcp_keepalive
from bizzmq.connection.busy_poll import BusyPoll

READ_BYTES = 65536
INCOMPLETE = object()
"""What a reader returns while a reply has not arrived completely."""


class ServerClosedError(exceptions.ConnectionError):
    """The server has closed the connection."""


class RespSocket:
    """Sends commands and reads replies on a socket that has no other user.

    Args:
        link: a connected connection of redis-py without unread replies. It knows the time limit of a read, and closes
            the socket.

    Attributes:
        send: sends packed commands. Raises OSError.
        fileno: returns the descriptor of the socket.
        has_data: whether received data has not been read yet.
    """

    __slots__ = (
        "_feed",
        "_link",
        "_next",
        "_pending",
        "_poll",
        "_reader",
        "_receive",
        "fileno",
        "has_data",
        "send",
        "socket",
    )

    def __init__(self, link: Any) -> None:
        self._link = link
        self.socket = link._sock  # noqa: SLF001 - no public name
        tcp_keepalive.keep_alive(self.socket, self.socket.gettimeout())
        is_plain = _use_kernel_timeouts(self.socket)
        self.send = self.socket.sendall
        self.fileno: Callable[[], int] = self.socket.fileno
        self._receive = self.socket.recv
        self._poll: Callable[[int], bytes | None] = BusyPoll(self._receive) if is_plain else _poll_nothing
        self._pending = getattr(self.socket, "pending", None)  # TLS: data that is decrypted and has not been read
        self._reader = new_reader(link)
        self._feed, self._next = self._reader.feed, self._reader.gets
        self.has_data = self._reader.has_data

    def request(self, packed: bytes) -> Any:
        """Send a packed command and return its reply. Raises as `read` does. No earlier reply may be due.

        With an empty command, it returns the reply to a command that was sent before.
        """
        if packed:
            self.send(packed)
        while True:
            try:
                data = self._poll(READ_BYTES)
                if not data:
                    if data is None:
                        data = self._receive(READ_BYTES)
                    if not data:
                        raise ServerClosedError("Connection closed by server.")
            except BlockingIOError:
                raise socket.timeout("timed out") from None
            self._feed(data)
            reply = self._next()
            if reply is not INCOMPLETE:
                break
        if isinstance(reply, Exception):
            raise reply
        return reply

    def read(self) -> Any:
        """The next reply; waits for it up to the time limit of the link.

        Raises:
            RedisError: the reply is an error, or the connection is closed.
            OSError: the connection is broken, or no reply came in time.
        """
        reply = self._next()
        if reply is INCOMPLETE:
            return self.request(b"")
        if isinstance(reply, Exception):
            raise reply
        return reply

    def is_buffered(self) -> bool:
        """Whether there is unread data that a poll of the socket does not show."""
        return bool(self.has_data()) or (self._pending is not None and self._pending() > 0)

    def close(self) -> None:
        """Close the socket. Raises RedisError or OSError."""
        self._link.disconnect()


def new_reader(link: Any) -> Any:
    """A parser of replies. Its `gets` returns a reply, an error reply as an exception, or INCOMPLETE.

    Args:
        link: a connection of redis-py, open or not.

    Raises (from `gets`):
        InvalidResponse: the data is not of Redis's protocol.
    """
    return hiredis.Reader(
        protocolError=exceptions.InvalidResponse,
        replyError=link._parser.parse_error,  # noqa: SLF001 - the one place that makes classes of error codes
        notEnoughData=INCOMPLETE,
    )


def _poll_nothing(_size: int) -> None:
    return None


def _use_kernel_timeouts(plain: Any) -> bool:
    """Have the kernel time out sends and receives. Python would poll before each of them: two system calls for one.

    Returns whether it does. TLS sockets, and the sockets of other libraries, keep their own way of reading.
    """
    timeout_s = plain.gettimeout()
    if type(plain).__module__ != "socket" or not timeout_s:
        return False
    whole = int(timeout_s)
    timeval = struct.pack("@ll", whole, max(1, int((timeout_s - whole) * 1e6)))
    try:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    except OSError:
        return False  # not supported here
    plain.settimeout(None)
    return True


pack: Callable[[Any], bytes] = hiredis.pack_command  # its own types allow one argument only
"""Packs one command, which may hold text and bytes only."""

are_plain = frozenset((str, bytes)).issuperset
"""Whether some types are only text and bytes."""


def pack_all(commands: Sequence[Sequence[Any]]) -> bytes:
    """Some commands, packed one after the other. Raises as `written_out` does."""
    return b"".join([pack(written_out(command)) for command in commands])


def written_out(command: Sequence[Any]) -> tuple[str | bytes, ...]:
    """A command with its numbers as text. Raises TypeError for anything but text, bytes and numbers."""
    return tuple([part if type(part) in (str, bytes) else _written_out(part) for part in command])


class Packer:
    """Packs the commands that redis-py itself sends on a new connection."""

    def pack(self, *command: Any) -> list[bytes]:
        """One command; its name may consist of several words."""
        words = command[0].split() if isinstance(command[0], str) else command[:1]
        return [pack(written_out((*words, *command[1:])))]


def _written_out(part: Any) -> str | bytes:
    if type(part) is int:
        return repr(part)
    if isinstance(part, str):
        return str.__str__(part)
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        return repr(part)
    raise TypeError(f"a command cannot contain a {type(part).__name__}, only text, bytes and numbers")
