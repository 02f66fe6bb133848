"""The connection of an event loop to one Redis server. The counterpart of `bizzmq.connection.base`.

It keeps the same promises. *A command never gets the reply to another command*: a wire is taken out of its connection
before the first byte of a command is sent, and put back after the last reply has been read. Anything that happens in
between, a cancellation included, closes the wire. *A connection that was closed while it was idle is not a failure*: a
command that finds it closed is sent again, over a new one.
"""

from __future__ import annotations

import math
from typing import Any, Awaitable, Callable, NoReturn, Sequence, Tuple

from bizzmq.aio.connection.opening import open_wire
from bizzmq.aio.connection.wire import Wire
from bizzmq.connection.endpoint import Endpoint
from bizzmq.connection.error_mapping import (
    ERROR_REPLY,
    TROUBLE,
    keys_of,
    name_wrong_key,
    raised_by_signal,
    translate,
    translate_opening,
    was_closed,
)
from bizzmq.connection.resp_socket import are_plain, pack, pack_all, written_out
from bizzmq.errors import BizzMQError, BrokerReplyError, BrokerUnavailableError
from bizzmq.utils.redaction import redact

Command = Sequence[Any]


class AsyncConnection:
    """A connection that is opened when it is first needed, and dropped after anything unexpected.

    For one task at a time, in one event loop.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: time limit of each reply, seconds.
        connect_timeout_s: time limit of connecting, seconds.
        before_open: awaited before each opening; it starts an embedded server again that has gone.

    Attributes:
        reply_s: how late the reply to a blocking command may be, seconds.
        longest_block_s: the longest time for which a command should block, seconds.
        spans_nodes: whether it leads to several servers, one of which may be away while the others are not.
        on_open: called after each opening.
    """

    reply_s = 5.0
    longest_block_s = math.inf
    spans_nodes = False

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        before_open: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.url = url
        self.on_open: Callable[[], None] = lambda: None
        self._endpoint = Endpoint(url)
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._before_open = before_open
        self._wire: Wire | None = None  # None while it is in use: a wire here has no replies due
        self._sent: Wire | None = None  # a wire over which commands were sent whose replies are still due
        self._due = 0.0

    def __repr__(self) -> str:
        return f"AsyncConnection({redact(self.url)!r})"

    async def _open(self) -> Wire:
        """A new wire, which replaces the last one."""
        self.drop()
        try:
            if self._before_open is not None:
                await self._before_open()
            host, port = await self._locate()
            wire = await open_wire(self._endpoint, host, port, self._connect_timeout_s, self._timeout_s)
        except (*TROUBLE, UnicodeError) as error:
            if isinstance(error, BizzMQError):
                raise
            raise raised_by_signal(error) or translate_opening(error) from error
        try:
            await self._greet(wire)
        except BaseException:
            wire.close()
            raise
        self.on_open()
        return wire

    async def _locate(self) -> Tuple[str, int]:
        """The address to connect to."""
        return self._endpoint.host, self._endpoint.port

    async def _greet(self, wire: Wire) -> None:
        """Check a new connection before it is used."""

    def _lost(self, error: BrokerUnavailableError) -> None:
        """Called with each error that is raised because the server cannot be used."""

    @property
    def is_open(self) -> bool:
        """Whether the next command needs no opening."""
        return self._wire is not None and self._wire.is_clean

    def _take(self) -> Wire | None:
        """The open wire, if it is usable. The caller puts it back."""
        wire, self._wire = self._wire, None
        if wire is None or wire.is_clean:
            return wire
        wire.close()
        return None

    async def at(self, _key: str) -> AsyncConnection:
        """The connection to the server that holds this key: itself."""
        return self

    async def execute(self, *args: Any, wait_s: float = 0.0) -> Any:
        """Send one command and return its reply. Raises as `read` does, and WrongTypeError.

        Args:
            wait_s: for how long the command may block, seconds; the time limit of the reply grows by that.
        """
        packed = pack(args if are_plain(map(type, args)) else written_out(args))
        limit_s = self._timeout_s + wait_s
        wire = self._take()
        is_new = wire is None
        while True:
            if wire is None:
                wire = await self._open()
            try:
                reply = await wire.request(packed, limit_s)
            except TROUBLE as error:
                if is_new or not was_closed(error):
                    await self._fail(wire, error, args)
                wire.close()
                wire, is_new = None, True
            except BaseException:
                wire.close()
                raise
            else:
                self._wire = wire
                return reply

    async def execute_all(self, *commands: Command) -> list[Any]:
        """The replies to some commands that are sent together. After an error the next command opens a new wire."""
        packed = pack_all(commands)
        wire = self._take()
        is_new = wire is None
        wire = wire or await self._open()
        try:
            wire.send(packed)
            replies = [await wire.read(self._timeout_s) for _ in commands]
        except TROUBLE as error:
            wire.close()  # the remaining replies must not answer other commands
            if not is_new and was_closed(error):
                return await self.execute_all(*commands)
            await self._fail(wire, error)
        except BaseException:
            wire.close()
            raise
        self._wire = wire
        return replies

    async def transaction(self, *commands: Command) -> list[Any]:
        """The replies to some commands that are executed in one step (MULTI)."""
        replies: list[Any] = (await self.execute_all(("MULTI",), *commands, ("EXEC",)))[-1]
        for command, reply in zip(commands, replies):
            if isinstance(reply, Exception):  # one command failed, the others did not
                ours = translate(reply)
                raise (await self._named(ours, command) if isinstance(ours, BrokerReplyError) else ours) from reply
        return replies

    async def send(self, *commands: Command) -> None:
        """Send some commands without waiting for their replies. Unread replies to earlier ones are dropped."""
        packed = pack_all(commands)
        wire = self._take()
        if wire is None or self._sent is not None:
            wire = await self._open()
        await self._send(wire, packed, len(commands))

    async def send_more(self, *commands: Command) -> None:
        """As `send`, behind commands whose replies have not been read yet.

        Raises:
            BrokerUnavailableError: the connection was lost, and these replies with it.
        """
        packed = pack_all(commands)
        await self._send(self._take_sent(), packed, self._due + len(commands))

    async def _send(self, wire: Wire, packed: bytes, due: float) -> None:
        try:
            wire.send(packed)
        except TROUBLE as error:
            await self._fail(wire, error)
        except BaseException:
            wire.close()
            raise
        self._due = due
        self._sent = wire

    async def listen(self, *commands: Command) -> None:
        """Send commands about subscriptions, on which frames follow without end: `read` returns each of them."""
        await (self.send if self._sent is None else self.send_more)(*commands)
        self._due = math.inf

    def has_arrived(self) -> bool:
        """Whether `read` has something to return, or raises."""
        return self._sent is None or self._sent.has_arrived()

    async def arrival(self, limit_s: float) -> None:
        """Wait until `has_arrived`, at most `limit_s` seconds. A cancellation loses nothing."""
        if self._sent is not None:
            await self._sent.arrival(limit_s)

    async def read(self) -> Any:
        """The reply to the first command whose reply has not been read yet.

        Raises:
            BrokerUnavailableError: the reply is lost, and the next command opens a new wire.
            BrokerFullError, NoScriptError, BrokerReplyError: the reply is an error.
        """
        wire = self._take_sent()
        try:
            reply = await wire.read(self._timeout_s)
        except TROUBLE as error:
            ours = translate(error)
            if isinstance(error, ERROR_REPLY) and not isinstance(ours, BrokerUnavailableError):
                self._put_back(wire)
                raise ours from error
            await self._fail(wire, error, is_lost=not was_closed(error))
        except BaseException:
            wire.close()
            raise
        self._put_back(wire)
        return reply

    def _take_sent(self) -> Wire:
        """The wire on which replies are due."""
        wire, self._sent = self._sent, None
        if wire is None:
            raise BrokerUnavailableError("the connection was lost")
        return wire

    def _put_back(self, wire: Wire) -> None:
        """Note that one of the due replies has been read."""
        self._due -= 1
        if self._due:
            self._sent = wire
        else:
            self._wire = wire

    def drop(self) -> None:
        """Close the connection, unless a task uses it now; the next command opens a new one."""
        wires, self._wire, self._sent = (self._wire, self._sent), None, None
        for wire in wires:
            if wire is not None:
                wire.close()

    async def _named(self, error: BrokerReplyError, command: Command) -> BrokerReplyError:
        """For an error about the type of a key, one that names the key."""
        kinds: dict[str, Any] = {}
        if "WRONGTYPE" in str(error):
            for key in keys_of(command):
                try:
                    kinds[key] = (await self.execute("TYPE", key)).decode()
                except BizzMQError as refusal:
                    kinds[key] = refusal

        def type_now(key: str) -> str:
            if isinstance(kinds[key], BizzMQError):
                raise kinds[key]
            return str(kinds[key])

        return name_wrong_key(error, command, type_now)

    async def _fail(self, wire: Wire, error: Exception, command: Command = (), *, is_lost: bool = True) -> NoReturn:
        """Raise our error for a foreign one. The wire is kept if the error is a reply and no other reply is due.

        Args:
            is_lost: False if only an idle connection was closed, and the server may well be there.
        """
        interrupt = raised_by_signal(error)
        ours = translate(error)
        if interrupt or isinstance(ours, BrokerUnavailableError) or not isinstance(error, ERROR_REPLY):
            wire.close()  # a reply may still arrive, or this server is of no use
        elif wire.is_clean:
            self._wire = wire
        if interrupt:
            raise interrupt
        if is_lost and isinstance(ours, BrokerUnavailableError):
            self._lost(ours)
        if isinstance(ours, BrokerReplyError) and command:
            ours = await self._named(ours, command)
        raise ours from error
