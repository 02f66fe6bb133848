"""One connection to Redis. The only module that imports redis, and the border where its errors stop.

The client library connects, authenticates and parses; it never retries by itself, since a command that
carries a message must not be sent twice by somebody who does not know whether that is safe.
"""

from __future__ import annotations

import inspect
import os
import re
import select
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import urlsplit

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.connection import parse_url as _untyped_parse_url
from redis.retry import Retry

from bizzmq.errors import (
    BrokerFullError,
    BrokerRefusesError,
    BrokerReplyError,
    BrokerUnavailableError,
    ConfigurationError,
)

SCHEMES = ("redis", "rediss", "unix")
_OUTAGE = re.compile(
    "LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED"
    "|NOAUTH|WRONGPASS|NOPERM|no permissions|max number of clients|EXECABORT|invalid password|invalid username",
    re.IGNORECASE,
)
"""Replies that repeating the command later, or an operator, can cure."""

_FULL = re.compile("(^|-)OOM command not allowed")
"""The memory limit; before Redis 7 a script's error has it at the end of its text."""

_CURABLE = (
    exceptions.ReadOnlyError,
    exceptions.NoPermissionError,
    exceptions.ClusterDownError,  # MASTERDOWN, too
    exceptions.TryAgainError,
    exceptions.ExecAbortError,
)
"""The same, where the client library makes a class of the code and cuts it off the text."""

_ANONYMOUS: dict[str, None] = (  # no CLIENT SETINFO: a restricted user may not be allowed to
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters  # redis-py 8 and newer
    else {"lib_name": None, "lib_version": None}
)

_parse_url: Callable[[str], Mapping[str, Any]] = _untyped_parse_url  # redis-py has no types for it


class NoScriptError(BrokerReplyError):
    """Redis does not have this script in its cache (any more)."""


def check_url(url: str) -> str:
    """The URL itself, if it can be one of a Redis server.

    Raises:
        ConfigurationError: it cannot; the text does not repeat a password.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError("it must begin with redis://, rediss://, unix:// or embedded://")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("a unix:// URL needs the path of a socket")
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"bad Redis URL {redact(str(url))!r}: {error}") from None
    try:
        _parse_url(url)
        parts.port  # noqa: B018 - reading it is the check
        if parts.scheme != "unix" and not re.fullmatch("/?[0-9]*/?", parts.path):
            raise ValueError("the path is no database number")
        if "@" in parts.query + parts.fragment:
            raise ValueError("a password with ? or # in it ended the address before its host")
    except (ValueError, TypeError, AttributeError):  # their texts may repeat a piece of the password
        hint = "write redis://:PASSWORD@HOST:PORT/DB, with / ? # @ in the password percent-encoded"
        raise ConfigurationError(f"bad Redis URL {redact(str(url))!r}: {hint}") from None
    return url


def redact(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"(://[^/@:]*:).*@", r"\1***@", re.sub(r"(password=)[^&]*", r"\1***", url))


def _foreign(error: Exception) -> Exception:
    """Our word for an error of the client library or the operating system."""
    text = str(error)
    if isinstance(error, exceptions.NoScriptError):
        return NoScriptError(text)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        refused = isinstance(error, (exceptions.AuthenticationError, exceptions.BusyLoadingError))
        return (BrokerRefusesError if refused else BrokerUnavailableError)(text or type(error).__name__)
    if isinstance(error, exceptions.OutOfMemoryError) or _FULL.search(text):
        return BrokerFullError(text)
    if isinstance(error, _CURABLE) or _OUTAGE.search(text):
        return BrokerRefusesError(text)
    return BrokerReplyError(text)


class Connection:
    """A connection that is opened when it is first needed and dropped after anything unexpected.

    Not for several threads at once. A forked child that uses it gets a connection of its own.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: bound of every reply, seconds.
        connect_timeout_s: bound of opening it, seconds.
        before_open: called before each opening; an embedded server is started again there if it has gone.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        before_open: Callable[[], None] | None = None,
    ) -> None:
        options: dict[str, Any] = dict(_parse_url(check_url(url)))
        factory = options.pop("connection_class", redis.Connection)
        options.update(
            protocol=2,  # RESP3's HELLO is unknown to Redis 5
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            **_ANONYMOUS,
        )
        if "path" not in options:
            options.update(socket_connect_timeout=connect_timeout_s, socket_keepalive=True)
        self.url = url
        self._factory = factory
        self._before_open = before_open
        self._options = options
        self._link: Any = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"Connection({redact(self.url)!r})"

    def _open(self) -> Any:
        if self._link is not None and self._pid == os.getpid():
            return self._link
        self._link = None  # a parent's connection is left alone: only its own copy of the socket is closed
        if self._before_open is not None:
            self._before_open()
        link = self._factory(**self._options)
        try:
            link.connect()
        except (exceptions.RedisError, OSError) as error:
            raise _foreign(error) from error
        self._link, self._pid = link, os.getpid()
        return link

    def pack(self, *args: Any) -> list[bytes]:
        """One command, ready for `send`."""
        link = self._open()
        packed: list[bytes] = link.pack_command(*args)
        return packed

    def send(self, packed: Sequence[bytes]) -> None:
        """Send packed commands without waiting for their replies."""
        link = self._open()
        try:
            link.send_packed_command(packed, check_health=False)
        except BaseException as error:
            self._fail(error)
            raise

    def read(self) -> Any:
        """The next reply.

        Raises:
            BrokerUnavailableError, BrokerFullError, NoScriptError, BrokerReplyError: see there. After the
                first, the connection is new next time.
        """
        if self._link is None:
            raise BrokerUnavailableError("the connection was lost")
        try:
            return self._link.read_response()
        except BaseException as error:
            self._fail(error)
            raise

    def execute(self, *args: Any) -> Any:
        """Send one command and return its reply. Raises as `read` does."""
        self.send(self.pack(*args))
        return self.read()

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Whether a reply is there, at most `timeout_s` later, or earlier if another descriptor is readable."""
        link = self._open()
        try:
            if link.can_read(0):
                return True
            own = link._sock.fileno()  # noqa: SLF001 - no public name; to wait for more than this one socket
        except BaseException as error:
            self._fail(error)
            raise
        poller = select.poll()
        for descriptor in (own, *others):
            poller.register(descriptor, select.POLLIN)
        ready = poller.poll(max(0.0, timeout_s) * 1000)
        return any(descriptor == own for descriptor, _ in ready)

    def drop(self) -> None:
        """Close it, whatever state it is in; the next command opens a new one."""
        link, self._link = self._link, None
        if link is None or self._pid != os.getpid():
            return
        try:
            link.disconnect()
        except (exceptions.RedisError, OSError):
            return  # it is gone, which is what was wanted

    def _fail(self, error: BaseException) -> None:
        foreign = _foreign(error) if isinstance(error, (exceptions.RedisError, OSError)) else None
        in_sync = isinstance(error, exceptions.ResponseError)
        if not in_sync or isinstance(foreign, BrokerUnavailableError):
            # A reply may still be under way, which must not answer another command; or this server can do nothing
            # for us, and the address leads to another one by now.
            self.drop()
        if foreign is not None:
            raise foreign from error
