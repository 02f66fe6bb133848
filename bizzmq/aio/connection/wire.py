"""A connected socket of an event loop: commands go out, replies come in, and nobody blocks.

The socket is watched by the loop itself (`add_reader`), not through a transport. So it can be closed at any moment:
when its loop has ended without closing it, and in a forked child, which must not touch the loop of its parent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from bizzmq.aio.connection.tls import TlsLayer
from bizzmq.connection.error_mapping import raised_by_signal
from bizzmq.connection.resp_socket import INCOMPLETE, READ_BYTES, ServerClosedError
from bizzmq.utils.forks import renew_in_children

_open: set[socket.socket] = set()
"""The sockets of all wires. One that is garbage together with its wire could be closed before the loop forgets it."""


class Wire:
    """Sends commands and reads replies for one task at a time.

    Args:
        loop: the running event loop; the wire can only be used in it.
        sock: a connected socket, not blocking; it belongs to the wire from now on.
        reader: a parser of replies; see `resp_socket.new_reader`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, reader: Any) -> None:
        self.loop = loop
        self._socket = sock
        _open.add(sock)
        self._tls: TlsLayer | None = None
        self._feed, self._next, self._has_data = reader.feed, reader.gets, reader.has_data
        self._unsent = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = self._due_s = 0.0
        myself = weakref.ref(self)  # the loop must not keep a wire alive that its owner has lost
        self._on_timer = lambda: _call(myself, Wire._check_time)
        self._on_room = lambda: _call(myself, Wire._send_more)
        loop.add_reader(sock.fileno(), lambda: _call(myself, Wire._received))
        renew_in_children(self)

    def __del__(self) -> None:
        sock, loop = self._socket, self.loop
        if sock.fileno() < 0:
            return
        try:
            loop.call_soon_threadsafe(_dispose, loop, sock)  # a garbage collection may run in any thread
        except RuntimeError:
            _dispose(loop, sock)  # the loop is closed

    @property
    def is_clean(self) -> bool:
        """Whether the wire is usable: it is open, and nothing has arrived that nobody has asked for."""
        return self._error is None and not self._has_data() and not self._unsent

    def fileno(self) -> int:
        """The descriptor of the socket; -1 if it is closed."""
        return self._socket.fileno()

    async def start_tls(self, layer: TlsLayer, timeout_s: float) -> None:
        """Negotiate TLS. Raises OSError."""
        self._tls = layer
        self._set_limit(timeout_s)
        try:
            layer.negotiate()
            while not layer.is_ready:
                self._send(layer.outgoing())
                await self._wait()
                layer.negotiate()
        finally:
            self._send(layer.outgoing())  # also the alert that tells the server why it fails

    def send(self, packed: bytes) -> None:
        """Send packed commands; the loop sends what does not fit into the socket now. Raises OSError."""
        self._check_open()
        self._send(packed if self._tls is None else self._tls.encrypt(packed))

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        if self._error is not None or not data:
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self.loop.add_writer(self._socket.fileno(), self._on_room)

    async def request(self, packed: bytes, timeout_s: float) -> Any:
        """Send a packed command and return its reply. Raises as `read`. No earlier reply may be due."""
        self.send(packed)
        return await self.read(timeout_s)

    async def read(self, timeout_s: float) -> Any:
        """The next reply, which must arrive completely within `timeout_s`.

        Raises:
            RedisError: the reply is an error, or the connection is closed.
            OSError: the connection is broken, or no reply came in time.
        """
        reply = self._next()
        if reply is INCOMPLETE:
            self._set_limit(timeout_s)
            while reply is INCOMPLETE:
                await self._wait()
                reply = self._next()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def has_arrived(self) -> bool:
        """Whether data or the end of the connection has arrived."""
        if not self._has_data() and self._error is None:
            self._received()
        return bool(self._has_data()) or self._error is not None

    async def arrival(self, limit_s: float) -> None:
        """Wait until `has_arrived`, at most `limit_s` seconds. A cancellation loses nothing."""
        if self.has_arrived():
            return
        self._due_s = max(self._due_s, self.loop.time() + limit_s + 1.0)  # a timer of an earlier reply may still run
        timer = self.loop.call_later(limit_s, self._wake)
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()

    def close(self) -> None:
        """Close the socket at once, in any state. May be called again, and after the end of the loop."""
        if self._error is None:
            self._error = ServerClosedError("the connection is closed")
        self._wake()
        if self._timer is not None and not self.loop.is_closed():
            self._timer.cancel()
        _dispose(self.loop, self._socket)

    def forget(self) -> None:
        """Give up the socket to the process that opened it: only this process's copy is closed."""
        self._error = ServerClosedError("the connection belongs to the parent process")
        _open.discard(self._socket)
        number = self._socket.detach()  # the loop's own descriptors are shared with the parent, too
        if number >= 0:
            os.close(number)

    def descriptors(self) -> set[int]:
        """The descriptors that a forked child closes."""
        return {self._socket.fileno()} - {-1}

    async def _wait(self) -> None:
        """Wait until something has arrived. Raises what has broken the connection."""
        self._check_open()
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if not self._has_data():
            self._check_open()

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and not self.loop.is_closed():
            waiter.set_result(None)

    def _received(self) -> None:
        with self._breaking():
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ServerClosedError("Connection closed by server.")
            if self._tls is not None:
                data = self._tls.decrypt(data)
                self._send(self._tls.outgoing() if self._tls.is_ready else b"")  # answers of the protocol itself
            self._feed(data)
            self._wake()

    def _send_more(self) -> None:
        with self._breaking():
            del self._unsent[: self._socket.send(self._unsent)]
            if not self._unsent:
                self.loop.remove_writer(self._socket.fileno())

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        """Any error in the block breaks the connection, also one that a signal handler raises."""
        try:
            yield
        except BlockingIOError:
            return
        except (OSError, ServerClosedError) as error:
            interrupt = raised_by_signal(error)
            self._broke(error if interrupt is None else ServerClosedError("the connection was interrupted"))
            if interrupt is not None:
                raise
        except BaseException:
            self._broke(ServerClosedError("the connection was interrupted"))
            raise

    def _broke(self, error: Exception) -> None:
        self._error = self._error or error
        self._wake()
        _dispose(self.loop, self._socket)

    def _set_limit(self, timeout_s: float) -> None:
        """Break the wire unless the reply is complete within `timeout_s`. One timer serves many replies."""
        self._due_s = self.loop.time() + timeout_s
        if self._timer is None or self._timer_s > self._due_s:
            if self._timer is not None:
                self._timer.cancel()
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer_s = self._due_s
        self._timer = self.loop.call_at(self._due_s, self._on_timer)

    def _check_time(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self.loop.time() < self._due_s:
            self._start_timer()
        else:
            self._broke(socket.timeout("timed out"))


def _call(reference: weakref.ref[Wire], method: Callable[[Wire], None]) -> None:
    wire = reference()
    if wire is not None:
        method(wire)


def _dispose(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Close a socket, which the loop may still watch."""
    _open.discard(sock)
    if sock.fileno() < 0:
        return
    if not loop.is_closed():
        loop.remove_reader(sock.fileno())
        loop.remove_writer(sock.fileno())
    sock.close()
