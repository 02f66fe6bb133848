"""The connection to one Redis server. The client library connects, authenticates and parses; it never retries.

Two promises, on which everything above relies (docs/operations/connections.md):

* *A command never gets the reply to another command.* A socket is taken out of its connection before the first byte of
  a command is sent, and put back after the last reply has been read. An exception in between, at any instruction and of
  any kind, leaves the connection without a socket: the next command opens a new one.
* *A connection that was closed while it was idle is not a failure.* A command that finds it closed is sent again, over
  a new one. Every command is safe to repeat. A failure on a new connection is raised.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn, Sequence

from redis import exceptions

from bizzmq.connection.error_mapping import (
    TROUBLE,
    name_wrong_key,
    raised_by_signal,
    translate,
    was_closed,
)
from bizzmq.connection.opener import Opener, close
from bizzmq.connection.resp_socket import RespSocket, are_plain, pack, pack_all, written_out
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError
from bizzmq.utils.readiness import readable


class Connection(Opener):
    """A connection that is opened when it is first needed, and dropped after anything unexpected.

    Not for several threads at once. A forked child that uses it gets a connection of its own.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: time limit of each reply, seconds.
        connect_timeout_s: time limit of opening the connection, seconds.
        before_open: called before each opening; it starts an embedded server again that has gone.

    Attributes:
        longest_block_s: longest time for which an idle worker should block on the connection, seconds.
        reply_s: how late the reply to a blocking command may be, seconds.
        spans_nodes: whether it leads to several servers, one of which may be away while the others are not.
        on_open: called after each opening.
    """

    longest_block_s = math.inf
    reply_s = 5.0
    spans_nodes = False

    def _lost(self, error: BrokerUnavailableError) -> None:
        """Called with each error that is raised because the server cannot be used."""

    def at(self, _key: str) -> Connection:
        """The connection to the server that holds this key: itself."""
        return self

    def refresh(self) -> None:
        """Drop the connection if it was closed since its last use: the next command then opens a new one first."""
        sock = self._socket
        if sock is not None and (sock.is_buffered() or readable(0.0, sock.fileno())):
            self.drop()

    def execute(self, *args: Any) -> Any:
        """Send one command and return its reply. Raises as `read` does, and WrongTypeError."""
        return self.execute_plain(args if are_plain(map(type, args)) else written_out(args))

    def execute_plain(self, command: tuple[str | bytes, ...]) -> Any:
        """As `execute`, for a command that is only text and bytes. It saves the most frequent command a check."""
        packed = pack(command)
        sock = self._socket
        self._socket = None
        if sock is None:
            return self._execute_first(command, packed)
        try:
            reply = sock.request(packed)
        except TROUBLE as error:
            if was_closed(error):
                close(sock)
                return self._execute_first(command, packed)
            self._fail(sock, error, command)
        self._socket = sock
        return reply

    def _execute_first(self, command: tuple[str | bytes, ...], packed: bytes) -> Any:
        """As `execute_plain`, over a new socket."""
        sock = self._open()
        try:
            reply = sock.request(packed)
        except TROUBLE as error:
            self._fail(sock, error, command)
        self._socket = sock
        return reply

    def execute_all(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands that are sent together. After an error the next command opens a new socket."""
        packed = pack_all(commands)
        sock, self._socket = self._socket, None
        is_new = sock is None
        sock = sock or self._open()
        try:
            sock.send(packed)
            replies = [sock.read() for _ in commands]
        except TROUBLE as error:
            close(sock)  # the remaining replies must not answer other commands
            if not is_new and was_closed(error):
                return self.execute_all(*commands)
            self._fail(None, error)
        self._socket = sock
        return replies

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands that are executed in one step (MULTI)."""
        replies: list[Any] = self.execute_all(("MULTI",), *commands, ("EXEC",))[-1]
        for command, reply in zip(commands, replies):
            if isinstance(reply, Exception):  # one command failed, the others did not
                ours = translate(reply)
                raise (self._named(ours, command) if isinstance(ours, BrokerReplyError) else ours) from reply
        return replies

    def send(self, *commands: Sequence[Any]) -> None:
        """Send some commands without waiting for their replies. Unread replies to earlier ones are dropped."""
        packed = pack_all(commands)
        sock, self._socket = self._socket, None
        if sock is None or self._sent is not None:
            sock = self._open()
        self._send(sock, packed, len(commands))

    def send_more(self, *commands: Sequence[Any]) -> None:
        """As `send`, behind commands whose replies have not been read yet.

        Raises:
            BrokerUnavailableError: the connection was lost, and these replies with it.
        """
        packed = pack_all(commands)
        sock = self._take_sent()
        self._send(sock, packed, self._due + len(commands))

    def _send(self, sock: RespSocket, packed: bytes, due: float) -> None:
        try:
            sock.send(packed)
        except TROUBLE as error:
            self._fail(sock, error)
        self._due = due
        self._sent = sock

    def listen(self, *commands: Sequence[Any]) -> None:
        """Send commands about subscriptions, on which frames follow without end: `read` returns each of them."""
        (self.send if self._sent is None else self.send_more)(*commands)
        self._due = math.inf

    def read(self) -> Any:
        """The reply to the first command whose reply has not been read yet.

        Raises:
            BrokerUnavailableError: the reply is lost, and the next command opens a new socket.
            BrokerFullError, NoScriptError, BrokerReplyError: the reply is an error.
        """
        sock = self._take_sent()
        try:
            reply = sock.read()
        except TROUBLE as error:
            if isinstance(error, exceptions.ResponseError):
                self._put_back(sock)
                self._fail(None, error)
            self._fail(sock, error, is_lost=not was_closed(error))
        self._put_back(sock)
        return reply

    def _take_sent(self) -> RespSocket:
        """The socket on which replies are due."""
        sock, self._sent = self._sent, None
        if sock is None:
            raise BrokerUnavailableError("the connection was lost")
        return sock

    def _put_back(self, sock: RespSocket) -> None:
        """Note that one of the due replies has been read."""
        self._due -= 1
        if self._due:
            self._sent = sock
        else:
            self._socket = sock

    def block(self, keys: Sequence[str], timeout_s: float) -> None:
        """Block on sorted sets. `wait` waits for the reply, `unblocked` reads it."""
        self._blocked = ("BZPOPMIN", *keys, timeout_s)
        self.send(self._blocked)

    def unblocked(self) -> Any:
        """The reply to `block`."""
        try:
            return self.read()
        except BrokerReplyError as error:
            raise self._named(error, self._blocked) from error.__cause__

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Wait for a reply, at most `timeout_s`, or until another descriptor is readable; whether a reply is there.

        A lost connection counts as a reply: reading it raises the error.
        """
        sock = self._sent
        if sock is None:
            return True
        descriptor = sock.fileno()
        return sock.is_buffered() or descriptor in readable(timeout_s, descriptor, *others)

    def pending(self) -> int:
        """-1 if a reply is there, else the descriptor that becomes readable with it."""
        sock = self._sent
        return -1 if sock is None or self.wait(0.0) else sock.fileno()

    def _named(self, error: BrokerReplyError, command: Sequence[Any]) -> BrokerReplyError:
        return name_wrong_key(error, command, lambda key: str(self.execute("TYPE", key).decode()))

    def _fail(
        self, sock: RespSocket | None, error: Exception, command: Sequence[Any] = (), *, is_lost: bool = True
    ) -> NoReturn:
        """Raise our error for a foreign one. The socket is kept if the error is a reply and no other reply is due.

        Args:
            is_lost: False if only an idle connection was closed, and the server may well be there.
        """
        interrupt = raised_by_signal(error)
        ours = translate(error)
        if interrupt or isinstance(ours, BrokerUnavailableError) or not isinstance(error, exceptions.ResponseError):
            # A reply may still arrive, which must not answer another command; or this server is of no use, and the
            # address may lead to another one by now.
            self.drop()
            close(sock)
        elif sock is not None:
            self._socket = sock
        if interrupt:
            raise interrupt
        if is_lost and isinstance(ours, BrokerUnavailableError):
            self._lost(ours)
        if isinstance(ours, BrokerReplyError) and command:
            raise self._named(ours, command) from error
        raise ours from error
