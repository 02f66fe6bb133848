"""The socket of a connection: how it is opened and closed."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Mapping

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from bizzmq.connection import group_url
from bizzmq.connection.error_mapping import TROUBLE, raised_by_signal, translate_opening
from bizzmq.connection.resp_socket import Packer, RespSocket
from bizzmq.connection.url import arguments, check_url
from bizzmq.errors import BizzMQError, ConfigurationError
from bizzmq.utils.forks import renew_in_children
from bizzmq.utils.redaction import redact

_ANONYMOUS: dict[str, None] = (  # no CLIENT SETINFO: a restricted user may not be allowed to
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters  # redis-py 8 and newer
    else {"lib_name": None, "lib_version": None}
)


class Opener:
    """What a Connection knows about its socket; see there."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        before_open: Callable[[], None] | None = None,
    ) -> None:
        if group_url.is_group(url):
            raise ConfigurationError(f"{redact(url)!r} names several servers, this connection leads to one")
        factory, options = arguments(check_url(url))
        options.update(
            protocol=2,  # Redis 5 does not know RESP3's HELLO
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            command_packer=Packer(),
            **_ANONYMOUS,
        )
        if "path" not in options:
            options.update(socket_connect_timeout=connect_timeout_s)
        self.url = url
        self.on_open: Callable[[], None] = lambda: None
        self._factory = factory
        self._before_open = before_open
        self._options = options
        self._socket: RespSocket | None = None  # None while it is in use: a socket here has no replies due
        self._sent: RespSocket | None = None  # a socket over which commands were sent whose replies are still due
        self._opened: RespSocket | None = None  # the last one that was opened, so that it can be closed in any state
        self._due = 0.0
        self._blocked: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Connection({redact(self.url)!r})"

    def _open(self) -> RespSocket:
        """A new socket, which replaces the last one."""
        self.drop()
        if self._before_open is not None:
            self._before_open()
        link = self._factory(**{**self._options, **self._locate()})
        try:
            link.connect()
            sock = self._opened = RespSocket(link)
            self._greet(sock)
        except BizzMQError:
            link.disconnect()
            raise
        except (*TROUBLE, UnicodeError) as error:
            interrupt = raised_by_signal(error)
            if interrupt is not None:
                raise interrupt from None
            raise translate_opening(error) from error
        except BaseException:  # an interrupt: nobody else knows this socket yet
            link.disconnect()
            raise
        renew_in_children(self)
        self.on_open()
        return sock

    def _locate(self) -> Mapping[str, Any]:
        """Options of this opening that override those of the URL, such as the address of the server."""
        return {}

    def _greet(self, sock: RespSocket) -> None:
        """Check a new connection before it is used."""

    @property
    def is_open(self) -> bool:
        """Whether the next command needs no opening."""
        return self._socket is not None

    def drop(self) -> None:
        """Close the connection, in any state; the next command opens a new one."""
        self._socket = self._sent = None
        sock, self._opened = self._opened, None
        close(sock)

    def forget(self) -> None:
        """Give up the socket to the process that opened it: only this process's copy is closed."""
        self._socket = self._sent = self._opened = None

    def descriptors(self) -> set[int]:
        """The descriptors that a forked child closes."""
        number = self._opened.fileno() if self._opened is not None else -1
        return {number} - {-1}


def close(sock: RespSocket | None) -> None:
    """Close a socket, if there is one."""
    try:
        if sock is not None:
            sock.close()
    except TROUBLE as error:
        interrupt = raised_by_signal(error)
        if interrupt is not None:
            raise interrupt from None
        # else it was closed already
