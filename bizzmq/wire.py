"""The socket of a connection that the client library has opened, without what it does around each command.

redis-py connects, negotiates TLS, authenticates and selects the database. After that a reply is a read and a parse:
its own way there costs several times as much, since it serves timeouts for each call, push messages and retries. So
commands are packed and replies are parsed by hiredis here, as redis-py does it, straight from and to the socket. The
figures are in docs/performance.md.

hiredis is given text and bytes only: it does not check whether a number could be written out, which fails where a
signal handler raises just then, and then it ends the process (docs/upstream/hiredis-pack-command.md).
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Callable, Sequence

import hiredis
from redis import exceptions

from bizzmq import tcp
from bizzmq.busy_poll import BusyPoll

_READ_BYTES = 65536
_NOTHING = object()


class ServerClosedError(exceptions.ConnectionError):
    """The server has closed the connection."""


class Wire:
    """Sends and reads on a socket that nobody else uses from now on.

    Args:
        link: a connection of redis-py that is connected, and whose replies have all been read. It says how long a
            read may take, and closes the socket.

    Attributes:
        send: sends packed commands. Raises OSError.
        has_data: whether something was received that was not read yet.
    """

    __slots__ = ("_feed", "_link", "_look", "_next", "_pending", "_reader", "_receive", "has_data", "send", "socket")

    def __init__(self, link: Any) -> None:
        self._link = link
        self.socket = link._sock  # noqa: SLF001 - no public name
        tcp.keep_alive(self.socket)
        is_plain = _let_the_kernel_time(self.socket)
        self.send = self.socket.sendall
        self._receive = self.socket.recv
        self._look: Callable[[int], bytes | None] = BusyPoll(self._receive) if is_plain else _see_nothing
        self._pending = getattr(self.socket, "pending", None)  # of TLS: what is decrypted, and not read yet
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=link._parser.parse_error,  # noqa: SLF001 - the one place that makes classes of error codes
            notEnoughData=_NOTHING,
        )
        self._feed, self._next = self._reader.feed, self._reader.gets
        self.has_data = self._reader.has_data

    def ask(self, packed: bytes) -> Any:
        """The reply to a packed command; raises as `read` does. All replies before it have been read.

        Without a command, it is the reply to one that was sent before.
        """
        if packed:
            self.send(packed)
        while True:
            try:
                data = self._look(_READ_BYTES)
                if not data:
                    if data is None:
                        data = self._receive(_READ_BYTES)
                    if not data:
                        raise ServerClosedError("Connection closed by server.")
            except BlockingIOError:
                raise socket.timeout("timed out") from None
            self._feed(data)
            reply = self._next()
            if reply is not _NOTHING:
                break
        if isinstance(reply, Exception):
            raise reply
        return reply

    def read(self) -> Any:
        """The next reply; waits for it as long as the link's timeout says.

        Raises:
            RedisError: the reply is an error, or the connection is closed.
            OSError: it is broken, or nothing came in time.
        """
        reply = self._next()
        if reply is _NOTHING:
            return self.ask(b"")
        if isinstance(reply, Exception):
            raise reply
        return reply

    def is_buffered(self) -> bool:
        """Whether something can be read that no poll of the socket tells."""
        return bool(self.has_data()) or (self._pending is not None and self._pending() > 0)

    def close(self) -> None:
        """Close the socket. Raises RedisError or OSError."""
        self._link.disconnect()


def _see_nothing(_size: int) -> None:
    return None


def _let_the_kernel_time(plain: Any) -> bool:
    """Have the kernel bound how long a call may take, in place of Python, which polls before each: two calls for one.

    Returns whether it does. TLS, and what other libraries put in the place of sockets, is left alone: it reads in its
    own way.
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
        return False  # not here, then
    plain.settimeout(None)
    return True


pack: Callable[[Any], bytes] = hiredis.pack_command  # its own types allow one argument only
"""One command of text and bytes, in bytes. Nothing else may be given to it."""

are_plain = frozenset((str, bytes)).issuperset
"""Whether some types are only those."""


def written_out(command: Sequence[Any]) -> tuple[str | bytes, ...]:
    """A command with its numbers as text. Raises TypeError for what is no text, bytes or number."""
    return tuple([part if type(part) in (str, bytes) else _written_out(part) for part in command])


class Packer:
    """Packs what redis-py says by itself on a new connection, in its way to call it."""

    def pack(self, *command: Any) -> list[bytes]:
        """One command; its name may be of several words."""
        words = command[0].split() if isinstance(command[0], str) else command[:1]
        return [pack(written_out((*words, *command[1:])))]


def _written_out(part: Any) -> str | bytes:
    if isinstance(part, str):
        return str.__str__(part)
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    if isinstance(part, (int, float)) and not isinstance(part, bool):
        return repr(part)
    raise TypeError(f"a command has no place for a {type(part).__name__}: only for text, bytes and numbers")
