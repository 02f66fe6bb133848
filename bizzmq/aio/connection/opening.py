"""Opens a connection: resolves the name, connects, negotiates TLS, authenticates, selects the database."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, Sequence, Tuple

from bizzmq.aio.connection.tls import TlsLayer
from bizzmq.aio.connection.wire import Wire
from bizzmq.connection import tcp_keepalive
from bizzmq.connection.endpoint import Endpoint
from bizzmq.connection.error_mapping import ERROR_REPLY, connect_error
from bizzmq.connection.resp_socket import pack, written_out

Address = Tuple[int, int, int, Any]
"""Family, kind and protocol of a socket, and the address to connect it to."""

_BUSY_S = 0.01
"""How soon to try again while a Unix socket has no room for another connection, seconds."""


async def open_wire(endpoint: Endpoint, host: str, port: int, connect_timeout_s: float, timeout_s: float) -> Wire:
    """An open connection, ready for commands.

    Args:
        host, port: where to connect, if the endpoint has no path.
        connect_timeout_s: time limit of connecting and of TLS, seconds.
        timeout_s: time limit of each reply, seconds.

    Raises:
        RedisError, OSError, UnicodeError
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + connect_timeout_s
    try:
        sock = await _connected(endpoint.path, host, port, end_s, timeout_s)
    except OSError as error:
        raise connect_error(error, endpoint.path or f"{host}:{port}") from error
    try:
        wire = Wire(loop, sock, endpoint.new_reader())
    except BaseException:
        sock.close()
        raise
    try:
        if endpoint.has_tls:
            await wire.start_tls(TlsLayer(endpoint.tls_context(), host), max(0.001, end_s - loop.time()))
        await _shake_hands(endpoint, wire, timeout_s)
    except BaseException:
        wire.close()
        raise
    return wire


async def _shake_hands(endpoint: Endpoint, wire: Wire, timeout_s: float) -> None:
    steps = endpoint.handshake()
    command = next(steps, None)
    while command is not None:
        try:
            reply = await wire.request(pack(written_out(command)), timeout_s)
            command = steps.send(reply)
        except ERROR_REPLY as error:
            command = steps.throw(error)
        except StopIteration:
            return


async def _connected(path: str, host: str, port: int, end_s: float, timeout_s: float) -> socket.socket:
    """A connected socket. Tries all addresses of the host. Raises OSError."""
    failure: OSError = socket.timeout("timed out")
    for family, kind, protocol, address in await _addresses(path, host, port, end_s):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            tcp_keepalive.keep_alive(sock, timeout_s)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await _connect(sock, address, end_s)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _addresses(path: str, host: str, port: int, end_s: float) -> Sequence[Address]:
    """The addresses of the server. A name is resolved by the event loop, an address needs no resolving."""
    if path:
        return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await _resolved(host, port, end_s)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]


async def _resolved(host: str, port: int, end_s: float) -> Any:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    try:
        done, _ = await asyncio.wait({task}, timeout=max(0.0, end_s - loop.time()))
    finally:
        task.cancel()
    if not done:
        raise socket.timeout("timed out")
    return task.result()


async def _connect(sock: socket.socket, address: Any, end_s: float) -> None:
    """Connect a socket. Raises OSError; socket.timeout after `end_s`."""
    loop = asyncio.get_running_loop()
    number = sock.connect_ex(address)
    while number == errno.EAGAIN:  # the queue of a Unix socket is full
        if loop.time() > end_s:
            raise socket.timeout("timed out")
        await asyncio.sleep(_BUSY_S)
        number = sock.connect_ex(address)
    if number in (errno.EINPROGRESS, errno.EINTR):
        await _writable(sock, end_s)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


async def _writable(sock: socket.socket, end_s: float) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()

    def end(has_room: bool) -> None:
        if not waiter.done():
            waiter.set_result(has_room)

    timer = loop.call_at(end_s, end, False)
    loop.add_writer(sock.fileno(), end, True)
    try:
        if not await waiter:
            raise socket.timeout("timed out")
    finally:
        timer.cancel()
        loop.remove_writer(sock.fileno())
