"""One connection to one Redis server. Beside `foreign` and `url`, the only module that imports redis.

The client library connects, authenticates and parses; it never retries by itself.

What holds here, and what everything above relies on (docs/connections.md):

* *Nobody gets a foreign reply.* A socket is taken out of its connection before the first byte of a command is sent, and
  put back after the last reply was read. An exception that strikes in between, at whatever instruction and of whatever
  kind, leaves the connection without a socket: the next command opens another one.
* *A connection that was closed while nobody used it is no failure.* A command that finds it closed is sent once more,
  over a new one. All that is sent is safe to repeat. A failure on a new connection is raised.
"""

from __future__ import annotations

import errno
import inspect
import math
import select
import socket
from typing import Any, Callable, Mapping, NoReturn, Sequence

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from bizzmq import address, wrong_type
from bizzmq.errors import (
    BizzMQError,
    BrokerReplyError,
    BrokerUnavailableError,
    BrokerUnusableError,
    ConfigurationError,
)
from bizzmq.foreign import foreign, raised_by_signal
from bizzmq.forks import renew_in_children
from bizzmq.redaction import redact
from bizzmq.url import arguments, check_url
from bizzmq.wire import Packer, ServerClosedError, Wire, are_plain, pack, written_out

_TROUBLE = (exceptions.RedisError, OSError)
_ANONYMOUS: dict[str, None] = (  # no CLIENT SETINFO: a restricted user may not be allowed to
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters  # redis-py 8 and newer
    else {"lib_name": None, "lib_version": None}
)


class Connection:
    """A connection that is opened when it is first needed and dropped after anything unexpected.

    Not for several threads at once. A forked child that uses it gets a connection of its own.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: bound of every reply, seconds.
        connect_timeout_s: bound of opening it, seconds.
        before_open: called before each opening; an embedded server is started again there if it has gone.

    Attributes:
        longest_block_s: longest time for which an idle worker should block on it, seconds.
        reply_s: how late the reply to a blocking command may be, seconds.
        spans_nodes: whether it leads to several servers, of which one may be away alone.
        on_open: called after each opening.
    """

    longest_block_s = math.inf
    reply_s = 5.0
    spans_nodes = False

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        before_open: Callable[[], None] | None = None,
    ) -> None:
        if address.is_group(url):
            raise ConfigurationError(f"{redact(url)!r} names several servers, this connection leads to one")
        factory, options = arguments(check_url(url))
        options.update(
            protocol=2,  # RESP3's HELLO is unknown to Redis 5
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            command_packer=Packer(),
            **_ANONYMOUS,
        )
        if "path" not in options:
            options.update(socket_connect_timeout=connect_timeout_s)
        self.url = url
        self.on_open: Callable[[], None] = _nothing
        self._factory = factory
        self._before_open = before_open
        self._options = options
        self._wire: Wire | None = None  # taken out while it is in use: what is here has no reply under way
        self._ahead: Wire | None = None  # commands were sent over it whose replies are still due
        self._opened: Wire | None = None  # the last one, wherever it is: to close it
        self._due = 0
        self._blocked: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Connection({redact(self.url)!r})"

    def _open(self) -> Wire:
        """A new socket, in the place of what there was."""
        self.drop()
        if self._before_open is not None:
            self._before_open()
        link = self._factory(**{**self._options, **self._locate()})
        try:
            link.connect()
            wire = self._opened = Wire(link)
            self._greet(wire)
        except BizzMQError:
            link.disconnect()
            raise
        except UnicodeError:  # as a host that a group of servers has named may be
            raise BrokerUnusableError("no host can have a name like that of this server") from None
        except _TROUBLE as error:
            interrupt = raised_by_signal(error)
            if interrupt is not None:
                raise interrupt from None
            raise _at_opening(foreign(error)) from error
        renew_in_children(self)
        self.on_open()
        return wire

    def _locate(self) -> Mapping[str, Any]:
        """Options of this opening that go before those of the URL: where the server is, say."""
        return {}

    def _greet(self, wire: Wire) -> None:
        """What has to be said on a new connection before it is used."""

    def _lost(self, error: BrokerUnavailableError) -> None:
        """Called with each error that is raised since the server cannot be used."""

    @property
    def is_open(self) -> bool:
        """Whether the next command needs no opening."""
        return self._wire is not None

    def at(self, _key: str) -> Connection:
        """The connection to the server that holds this key: itself."""
        return self

    def refresh(self) -> None:
        """Drop it if it was closed since it was last used: the next command then opens a new one before it is sent."""
        wire = self._wire
        if wire is not None and (wire.is_buffered() or readable(0.0, wire.socket.fileno())):
            self.drop()

    def execute(self, *args: Any) -> Any:
        """Send one command and return its reply. Raises as `read` does, and WrongTypeError."""
        return self.execute_plain(args if are_plain(map(type, args)) else written_out(args))

    def execute_plain(self, command: tuple[str | bytes, ...]) -> Any:
        """As `execute`, a command of text and bytes only; the one that is asked most often spares the look at it."""
        packed = pack(command)
        wire = self._wire
        self._wire = None
        if wire is None:
            return self._execute_first(command, packed)
        try:
            reply = wire.ask(packed)
        except _TROUBLE as error:
            if _was_closed(error):
                _close(wire)
                return self._execute_first(command, packed)
            self._fail(wire, error, command)
        self._wire = wire
        return reply

    def _execute_first(self, command: tuple[str | bytes, ...], packed: bytes) -> Any:
        """As `execute_plain`, over a new socket."""
        wire = self._open()
        try:
            reply = wire.ask(packed)
        except _TROUBLE as error:
            self._fail(wire, error, command)
        self._wire = wire
        return reply

    def execute_all(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands that are sent at once. After an error the connection is new next time."""
        packed = _pack_all(commands)
        wire, self._wire = self._wire, None
        is_new = wire is None
        wire = wire or self._open()
        try:
            wire.send(packed)
            replies = [wire.read() for _ in commands]
        except _TROUBLE as error:
            _close(wire)  # the replies that are still under way must not answer other commands
            if not is_new and _was_closed(error):
                return self.execute_all(*commands)
            self._fail(None, error)
        self._wire = wire
        return replies

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands, run in one step."""
        replies: list[Any] = self.execute_all(("MULTI",), *commands, ("EXEC",))[-1]
        for command, reply in zip(commands, replies):
            if isinstance(reply, Exception):  # a command that failed beside others that did not
                ours = foreign(reply)
                raise (self._named(ours, command) if isinstance(ours, BrokerReplyError) else ours) from reply
        return replies

    def send(self, *commands: Sequence[Any]) -> None:
        """Send some commands at once, without waiting for their replies. Replies to earlier ones are given up."""
        packed = _pack_all(commands)
        wire, self._wire = self._wire, None
        if wire is None or self._ahead is not None:
            wire = self._open()
        self._send(wire, packed, len(commands))

    def send_more(self, *commands: Sequence[Any]) -> None:
        """As `send`, behind commands whose replies were not read yet.

        Raises:
            BrokerUnavailableError: they were lost.
        """
        packed = _pack_all(commands)
        wire = self._take_ahead()
        self._send(wire, packed, self._due + len(commands))

    def _send(self, wire: Wire, packed: bytes, due: int) -> None:
        try:
            wire.send(packed)
        except _TROUBLE as error:
            self._fail(wire, error)
        self._due = due
        self._ahead = wire

    def read(self) -> Any:
        """The reply to the first command that was sent and not read yet.

        Raises:
            BrokerUnavailableError, BrokerFullError, NoScriptError, BrokerReplyError: see there. After the
                first, the connection is new next time.
        """
        wire = self._take_ahead()
        try:
            reply = wire.read()
        except _TROUBLE as error:
            if isinstance(error, exceptions.ResponseError):
                self._put_back(wire)
                self._fail(None, error)
            self._fail(wire, error, is_lost=not _was_closed(error))
        self._put_back(wire)
        return reply

    def _take_ahead(self) -> Wire:
        """The socket on which replies are due."""
        wire, self._ahead = self._ahead, None
        if wire is None:
            raise BrokerUnavailableError("the connection was lost")
        return wire

    def _put_back(self, wire: Wire) -> None:
        """Note that one of the replies that were due has been read."""
        self._due -= 1
        if self._due:
            self._ahead = wire
        else:
            self._wire = wire

    def block(self, keys: Sequence[str], timeout_s: float) -> None:
        """Block on sorted sets; `wait` tells when `unblocked` will find the reply."""
        self._blocked = ("BZPOPMIN", *keys, timeout_s)
        self.send(self._blocked)

    def unblocked(self) -> Any:
        """The reply to `block`."""
        try:
            return self.read()
        except BrokerReplyError as error:
            raise self._named(error, self._blocked) from error.__cause__

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Whether a reply is there, at most `timeout_s` later, or earlier if another descriptor is readable.

        Also if the connection is lost, which is then for the reader to find out.
        """
        wire = self._ahead
        if wire is None:
            return True
        descriptor = wire.socket.fileno()
        return wire.is_buffered() or descriptor in readable(timeout_s, descriptor, *others)

    def pending(self) -> int:
        """-1 if a reply is there, else the descriptor to wait on for one."""
        wire = self._ahead
        return -1 if wire is None or self.wait(0.0) else int(wire.socket.fileno())

    def drop(self) -> None:
        """Close it, whatever state it is in; the next command opens a new one."""
        self._wire = self._ahead = None
        wire, self._opened = self._opened, None
        _close(wire)

    def forget(self) -> None:
        """Leave the socket to the process that has opened it: only this process's copy is closed."""
        self._wire = self._ahead = self._opened = None

    def descriptors(self) -> set[int]:
        """Of the socket that a forked child forgets."""
        number = self._opened.socket.fileno() if self._opened is not None else -1
        return {number} - {-1}

    def _named(self, error: BrokerReplyError, command: Sequence[Any]) -> BrokerReplyError:
        return wrong_type.named(error, command, lambda key: str(self.execute("TYPE", key).decode()))

    def _fail(
        self, wire: Wire | None, error: Exception, command: Sequence[Any] = (), *, is_lost: bool = True
    ) -> NoReturn:
        """Raise what has gone wrong, in our words; the socket is kept if the error is a reply, and all were read.

        Args:
            is_lost: False if the server may well be there, since only a connection was closed that was idle.
        """
        interrupt = raised_by_signal(error)
        ours = foreign(error)
        if interrupt or isinstance(ours, BrokerUnavailableError) or not isinstance(error, exceptions.ResponseError):
            # A reply may still be under way, which must not answer another command; or this server can do nothing
            # for us, and the address leads to another one by now.
            self.drop()
            _close(wire)
        elif wire is not None:
            self._wire = wire
        if interrupt:
            raise interrupt
        if is_lost and isinstance(ours, BrokerUnavailableError):
            self._lost(ours)
        if isinstance(ours, BrokerReplyError) and command:
            raise self._named(ours, command) from error
        raise ours from error


def _nothing() -> None:
    return


def _pack_all(commands: Sequence[Sequence[Any]]) -> bytes:
    return b"".join([pack(written_out(command)) for command in commands])


def _at_opening(error: Exception) -> Exception:
    """What is refused while a connection is opened is about the server or the address, and about no queue."""
    return BrokerUnusableError(str(error)) if isinstance(error, BrokerReplyError) else error


def _was_closed(error: BaseException) -> bool:
    """Whether this says that the connection is gone; no reply, and nothing that a signal handler has raised."""
    # The server may just be slow; BlockingIOError is what a send says that has taken too long.
    is_timeout = isinstance(error, BlockingIOError) or (
        isinstance(error, socket.timeout) and error.errno != errno.ETIMEDOUT
    )
    return isinstance(error, (OSError, ServerClosedError)) and not is_timeout and raised_by_signal(error) is None


def _close(wire: Wire | None) -> None:
    try:
        if wire is not None:
            wire.close()
    except _TROUBLE as error:
        interrupt = raised_by_signal(error)
        if interrupt is not None:
            raise interrupt from None
        # else it is gone, which is what was wanted


def readable(timeout_s: float, *descriptors: int) -> set[int]:
    """Those of some descriptors that are readable; waits at most so many seconds for the first."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, timeout_s) * 1000)}
