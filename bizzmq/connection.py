"""One connection to one Redis server. Beside `foreign` and `url`, the only module that imports redis.

The client library connects, authenticates and parses; it never retries by itself, since a command that
carries a message must not be sent twice by somebody who does not know whether that is safe.
"""

from __future__ import annotations

import inspect
import math
import os
import select
from typing import Any, Callable, Mapping, Sequence

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from bizzmq import address, wrong_type
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError, ConfigurationError
from bizzmq.foreign import foreign
from bizzmq.redaction import redact
from bizzmq.url import arguments, check_url
from bizzmq.wire import Wire, pack

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
            **_ANONYMOUS,
        )
        if "path" not in options:
            options.update(socket_connect_timeout=connect_timeout_s, socket_keepalive=True)
        self.url = url
        self._factory = factory
        self._before_open = before_open
        self._options = options
        self._wire: Wire | None = None
        self._pid = 0
        self._blocked: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Connection({redact(self.url)!r})"

    def _open(self) -> Wire:
        if self._wire is not None and self._pid == os.getpid():
            return self._wire
        self._wire = None  # a parent's connection is left alone: only its own copy of the socket is closed
        if self._before_open is not None:
            self._before_open()
        link = self._factory(**{**self._options, **self._locate()})
        try:
            link.connect()
        except (exceptions.RedisError, OSError) as error:
            raise foreign(error) from error
        wire = self._wire = Wire(link)
        self._pid = os.getpid()
        self._greet()
        return wire

    def _locate(self) -> Mapping[str, Any]:
        """Options of this opening that go before those of the URL: where the server is, say."""
        return {}

    def _greet(self) -> None:
        """What has to be said on a new connection before it is used."""

    @property
    def is_open(self) -> bool:
        """Whether the next command needs no opening."""
        return self._wire is not None and self._pid == os.getpid()

    def at(self, _key: str) -> Connection:
        """The connection to the server that holds this key: itself."""
        return self

    def send(self, *commands: Sequence[Any]) -> None:
        """Send some commands at once, without waiting for their replies."""
        wire = self._open()
        packed = b"".join([pack(tuple(command)) for command in commands])
        try:
            wire.send(packed)
        except BaseException as error:
            self._fail(error)
            raise

    def read(self) -> Any:
        """The next reply.

        Raises:
            BrokerUnavailableError, BrokerFullError, NoScriptError, BrokerReplyError: see there. After the
                first, the connection is new next time.
        """
        if self._wire is None:
            raise BrokerUnavailableError("the connection was lost")
        try:
            return self._wire.read()
        except BaseException as error:
            self._fail(error)
            raise

    def execute(self, *args: Any) -> Any:
        """Send one command and return its reply. Raises as `read` does, and WrongTypeError."""
        wire = self._wire
        if wire is None or self._pid != os.getpid():
            wire = self._open()
        packed = pack(args)
        try:
            try:
                wire.send(packed)
                return wire.read()
            except BaseException as error:
                self._fail(error)
                raise
        except BrokerReplyError as error:
            raise self._named(error, args) from error.__cause__

    def execute_all(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands that are sent at once. After an error the connection is new next time."""
        self.send(*commands)
        try:
            return [self.read() for _ in commands]
        except BaseException:
            self.drop()  # the replies that are still under way must not answer other commands
            raise

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands, run in one step."""
        replies: list[Any] = self.execute_all(("MULTI",), *commands, ("EXEC",))[-1]
        for command, reply in zip(commands, replies):
            if isinstance(reply, Exception):  # a command that failed beside others that did not
                ours = foreign(reply)
                raise (self._named(ours, command) if isinstance(ours, BrokerReplyError) else ours) from reply
        return replies

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
        """Whether a reply is there, at most `timeout_s` later, or earlier if another descriptor is readable."""
        wire = self._open()
        descriptor = wire.socket.fileno()
        return wire.is_buffered() or descriptor in readable(timeout_s, descriptor, *others)

    def pending(self) -> int:
        """-1 if a reply is there, else the descriptor to wait on for one."""
        descriptor: int = self._open().socket.fileno()
        return -1 if self.wait(0.0) else descriptor

    def drop(self) -> None:
        """Close it, whatever state it is in; the next command opens a new one."""
        wire, self._wire = self._wire, None
        if wire is None or self._pid != os.getpid():
            return
        try:
            wire.close()
        except (exceptions.RedisError, OSError):
            return  # it is gone, which is what was wanted

    def _named(self, error: BrokerReplyError, command: Sequence[Any]) -> BrokerReplyError:
        return wrong_type.named(error, command, lambda key: str(self.execute("TYPE", key).decode()))

    def _fail(self, error: BaseException) -> None:
        ours = foreign(error) if isinstance(error, (exceptions.RedisError, OSError)) else None
        in_sync = isinstance(error, exceptions.ResponseError)
        if not in_sync or isinstance(ours, BrokerUnavailableError):
            # A reply may still be under way, which must not answer another command; or this server can do nothing
            # for us, and the address leads to another one by now.
            self.drop()
        if ours is not None:
            raise ours from error


def readable(timeout_s: float, *descriptors: int) -> set[int]:
    """Those of some descriptors that are readable; waits at most so many seconds for the first."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(max(0.0, timeout_s) * 1000)}
