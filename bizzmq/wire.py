"""The socket of a connection that the client library has opened, without what it does around each command.

redis-py connects, negotiates TLS, authenticates and selects the database. After that a reply is a read and a parse:
its own way there costs several times as much, since it serves timeouts for each call, push messages and retries. So
commands are packed and replies are parsed by hiredis here, as redis-py does it, straight from and to the socket. The
figures are in docs/performance.md.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Callable

import hiredis
from redis import exceptions

from bizzmq.busy_poll import BusyPoll

_READ_BYTES = 65536
_NOTHING = object()


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

    def read(self) -> Any:
        """The next reply; waits for it as long as the link's timeout says.

        Raises:
            RedisError: the reply is an error, or the connection is closed.
            OSError: it is broken, or nothing came in time.
        """
        reply = self._next()
        while reply is _NOTHING:
            try:
                data = self._look(_READ_BYTES)
                if data is None:
                    data = self._receive(_READ_BYTES)
            except BlockingIOError:
                raise socket.timeout("timed out") from None
            if not data:
                raise exceptions.ConnectionError("Connection closed by server.")
            self._feed(data)
            reply = self._next()
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
"""One command, a tuple, as bytes. Raises TypeError for what is no text, bytes or number."""
