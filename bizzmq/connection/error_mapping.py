"""Error mapping: errors of Redis, redis-py and the operating system become errors of BizzMQ."""

from __future__ import annotations

import errno
import re
import signal
import socket
from types import CodeType, FrameType
from typing import Any, Callable, Iterator, Sequence

from redis import exceptions

from bizzmq.connection.group_url import Node
from bizzmq.connection.resp_socket import ServerClosedError
from bizzmq.errors import (
    BizzMQError,
    BrokerFullError,
    BrokerRefusesError,
    BrokerReplyError,
    BrokerUnavailableError,
    BrokerUnusableError,
    WrongTypeError,
)
from bizzmq.protocol import keys

_OUTAGE = re.compile(
    "LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED"
    "|NOAUTH|WRONGPASS|max number of clients|EXECABORT"
    "|invalid password|invalid username",
    re.IGNORECASE,
)
"""Replies that a later repetition, or an operator, can cure."""

_MISSING = re.compile(
    "unknown (redis )?command|unsupported command|command (is )?not (supported|allowed)", re.IGNORECASE
)
"""The server, or a proxy in front of it, does not have the command."""
_FORBIDDEN = re.compile("NOPERM|no permissions|user executing the script", re.IGNORECASE)
"""This user may not run the command, or not on these keys."""

_FULL = re.compile("(Error running script .*-)?OOM ")
"""Redis 6.2 and older wrap the reply to a script's command."""

_UNUSABLE = re.compile(
    "NOAUTH|WRONGPASS|invalid password|invalid username|without any password|no password is set"
    "|DB index|invalid database|SELECT is not allowed in cluster mode|CERTIFICATE_VERIFY_FAILED"
    "|WRONG_VERSION_NUMBER|wrong version number|protocol error, got",
    re.IGNORECASE,
)
"""Replies that waiting does not cure, though an operator may."""

_CURABLE = (
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,  # MASTERDOWN, too
    exceptions.TryAgainError,
    exceptions.ExecAbortError,
)
"""The same as _OUTAGE, for codes that redis-py turns into a class and removes from the text."""

TROUBLE = (exceptions.RedisError, OSError)
"""The foreign errors of a command: an error reply, or a broken connection."""
ERROR_REPLY = exceptions.ResponseError
"""The base of most error replies. After one, the connection is still in order."""

_CAUSES = 10
"""How many causes of an error are followed."""
_SCRIPT_COMMANDS = ("EVALSHA", "EVAL")


class NoScriptError(BrokerReplyError):
    """Redis does not have this script in its cache, or no longer has it."""


class CommandRefusedError(BrokerRefusesError):
    """The server lacks this command (renamed, or blocked by a proxy), or this user may not run it.

    Only an operator can cure that. Work that is possible without the command continues.

    Attributes:
        is_missing: whether the server lacks the command for every user.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.is_missing = _MISSING.search(text) is not None


class SlotMovedError(BrokerReplyError):
    """Another node of the cluster serves this key.

    Attributes:
        node: that node; its host is "" if it is the host of the node that replied.
    """

    def __init__(self, text: str, node: Node) -> None:
        super().__init__(f"{text}: this server is a node of a cluster, use redis+cluster://{node}")
        self.node = node


class SlotMovingError(SlotMovedError):
    """The key's slot is being moved, and this key is at the other node already, or would be created there."""


def translate(error: Exception) -> Exception:
    """Our error for an error of redis-py or of the operating system."""
    text = str(error)
    if isinstance(error, exceptions.NoScriptError):
        return NoScriptError(text)
    if isinstance(error, exceptions.AskError):  # the base of MovedError, too
        node = Node("" if error.host == "?" else error.host, error.port)
        if isinstance(error, exceptions.MovedError):
            return SlotMovedError(f"MOVED {text}", node)
        return SlotMovingError(f"ASK {text}", node)
    if isinstance(error, exceptions.AuthenticationError) or _UNUSABLE.search(text):
        return BrokerUnusableError(text)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        # These two are replies, though redis-py takes them for lost connections.
        refused = isinstance(error, exceptions.BusyLoadingError) or text.startswith("max number of clients")
        return (BrokerRefusesError if refused else BrokerUnavailableError)(text or type(error).__name__)
    return _translate_reply(error, text)


def translate_opening(error: Exception) -> Exception:
    """As `translate`, for an error at the opening of a connection. It concerns the server or its URL, never a queue."""
    if isinstance(error, UnicodeError):  # a host name from a group of servers may cause it
        return BrokerUnusableError("the server's host name is invalid")
    ours = translate(error)
    return BrokerUnusableError(str(ours)) if isinstance(ours, BrokerReplyError) else ours


def connect_error(error: OSError, server: str) -> Exception:
    """The error of a socket that could not be connected, with the server's address."""
    if isinstance(error, socket.timeout) and not error.errno:
        return exceptions.TimeoutError(f"Timeout connecting to {server}")
    text = error.strerror or str(error)
    return exceptions.ConnectionError(f"Error {error.errno} connecting to {server}. {text}.")


def was_closed(error: BaseException) -> bool:
    """Whether an error means that the connection is gone: it is not a reply, and no signal handler raised it."""
    # After a timeout the server may just be slow. A send that takes too long raises BlockingIOError.
    is_timeout = isinstance(error, BlockingIOError) or (
        isinstance(error, socket.timeout) and error.errno != errno.ETIMEDOUT
    )
    return isinstance(error, (OSError, ServerClosedError)) and not is_timeout and raised_by_signal(error) is None


def _translate_reply(error: Exception, text: str) -> Exception:
    """Our error for an error reply: Redis did not execute the command."""
    if isinstance(error, exceptions.OutOfMemoryError) or _FULL.match(text):
        return BrokerFullError(text)
    if isinstance(error, exceptions.NoPermissionError) or _FORBIDDEN.search(text) or _MISSING.search(text):
        return CommandRefusedError(text)
    if isinstance(error, _CURABLE) or _OUTAGE.search(text):
        return BrokerRefusesError(text)
    return BrokerReplyError(text)


def raised_by_signal(error: BaseException) -> BaseException | None:
    """The exception that a user's signal handler raised, if it is this error or one of its causes; else None.

    A time limit may raise TimeoutError, which the operating system raises, too, and which redis-py takes for a lost
    connection. The frame of the signal handler in the traceback tells the two apart. If a caller calls us while it
    handles an exception, that exception is among the causes, too. It is ignored: the caller has caught it.
    """
    handlers = set(_handlers())
    above = _callers(error)
    seen: BaseException | None = error
    for _ in range(_CAUSES):
        if seen is None:
            return None
        trace = seen.__traceback__
        if trace is not None and trace.tb_frame in above:
            return None
        while trace is not None:
            if trace.tb_frame.f_code in handlers:
                return seen
            trace = trace.tb_next
        seen = seen.__cause__ or seen.__context__
    return None


def _callers(error: BaseException) -> set[FrameType]:
    """The frames that called the one in which an error was caught."""
    found: set[FrameType] = set()
    frame = error.__traceback__.tb_frame.f_back if error.__traceback__ else None
    while frame is not None:
        found.add(frame)
        frame = frame.f_back
    return found


def _handlers() -> Iterator[CodeType]:
    """The code of all signal handlers written in Python."""
    for number in range(1, signal.NSIG):
        try:
            handler: Any = signal.getsignal(number)
        except ValueError:
            continue  # reserved
        handler = getattr(handler, "func", handler)  # of a functools.partial
        if callable(handler) and not hasattr(handler, "__code__") and not hasattr(handler, "__func__"):
            handler = type(handler).__call__
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if code is not None:
            yield code


def name_wrong_key(error: BrokerReplyError, command: Sequence[Any], type_now: Callable[[str], str]) -> BrokerReplyError:
    """For an error about the type of a key, a WrongTypeError that names the key; any other error itself.

    Redis does not say which key it is.

    Args:
        command: the command that failed.
        type_now: returns the type of a key, from Redis.
    """
    if "WRONGTYPE" not in str(error):
        return error
    try:
        for key in keys_of(command):
            wanted, found = keys.type_of(key), type_now(key)
            if wanted and found not in (wanted, "none"):
                return _wrong_type_error(key, wanted, found)
    except BizzMQError as refusal:  # TYPE is refused, or Redis is unavailable by now
        return WrongTypeError(f"{error}; which key it is could not be determined: {refusal}")
    return WrongTypeError(f"{error}; the key has the right type again")


def _wrong_type_error(key: str, wanted: str, found: str) -> WrongTypeError:
    queue = keys.queue_of(key)
    owner = f" of queue {queue!r}" if queue else ""
    return WrongTypeError(
        f"WRONGTYPE: key {key!r}{owner} is a {found}, not a {wanted}; another program has written it: "
        "rename or delete it, and the queue works again",
        key,
        queue,
        wanted,
        found,
    )


def keys_of(command: Sequence[Any]) -> list[str]:
    """The keys that one of our commands names."""
    if command[0] in _SCRIPT_COMMANDS:
        found = command[3 : 3 + int(command[2])]
    elif command[0] == "BZPOPMIN":
        found = command[1:-1]
    else:
        found = command[1:2]
    return [key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key) for key in found]
