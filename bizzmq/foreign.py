"""The border where the errors of Redis, its client library and the operating system stop: they become ours."""

from __future__ import annotations

import re
import signal
from types import CodeType, FrameType
from typing import Any, Iterator

from redis import exceptions

from bizzmq.address import Node
from bizzmq.errors import (
    BrokerFullError,
    BrokerRefusesError,
    BrokerReplyError,
    BrokerUnavailableError,
    BrokerUnusableError,
)

_OUTAGE = re.compile(
    "LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED"
    "|NOAUTH|WRONGPASS|max number of clients|EXECABORT"
    "|invalid password|invalid username",
    re.IGNORECASE,
)
"""Replies that repeating the command later, or an operator, can cure."""

_MISSING = re.compile(
    "unknown (redis )?command|unsupported command|command (is )?not (supported|allowed)", re.IGNORECASE
)
"""The server, or a proxy before it, does not have the command."""
_FORBIDDEN = re.compile("NOPERM|no permissions|user executing the script", re.IGNORECASE)
"""This user may not run it, or not on these keys."""

_FULL = re.compile("(Error running script .*-)?OOM ")
"""Redis 6.2 and older wrap what a script's command was answered."""

_UNUSABLE = re.compile(
    "NOAUTH|WRONGPASS|invalid password|invalid username|without any password|no password is set"
    "|DB index|invalid database|SELECT is not allowed in cluster mode|CERTIFICATE_VERIFY_FAILED"
    "|WRONG_VERSION_NUMBER|wrong version number|protocol error, got",
    re.IGNORECASE,
)
"""What no waiting mends, though an operator may."""

_CURABLE = (
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,  # MASTERDOWN, too
    exceptions.TryAgainError,
    exceptions.ExecAbortError,
)
"""The same, where the client library makes a class of the code and cuts it off the text."""

_CAUSES = 10
"""How many errors behind an error are looked at."""


class NoScriptError(BrokerReplyError):
    """Redis does not have this script in its cache (any more)."""


class CommandRefusedError(BrokerRefusesError):
    """The server does not have this command (renamed, or kept back by a proxy), or this user may not run it.

    Only an operator can cure that. What can be done without the command is done without it.

    Attributes:
        is_missing: whether nobody has it there.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.is_missing = _MISSING.search(text) is not None


class SlotMovedError(BrokerReplyError):
    """Another node of the cluster serves this key.

    Attributes:
        node: that node; its host is "" if it is that of the node which has said so.
    """

    def __init__(self, text: str, node: Node) -> None:
        super().__init__(f"{text}: this server is a node of a cluster, use redis+cluster://{node}")
        self.node = node


class SlotMovingError(SlotMovedError):
    """The key's slot is just being moved, and this key is, or would be, at the other node already."""


def foreign(error: Exception) -> Exception:
    """Our word for an error of the client library or the operating system."""
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
        # Answers, though the client library takes them for lost connections.
        refused = isinstance(error, exceptions.BusyLoadingError) or text.startswith("max number of clients")
        return (BrokerRefusesError if refused else BrokerUnavailableError)(text or type(error).__name__)
    return _answer(error, text)


def _answer(error: Exception, text: str) -> Exception:
    """Our word for what Redis has answered to a command that it did not execute."""
    if isinstance(error, exceptions.OutOfMemoryError) or _FULL.match(text):
        return BrokerFullError(text)
    if isinstance(error, exceptions.NoPermissionError) or _FORBIDDEN.search(text) or _MISSING.search(text):
        return CommandRefusedError(text)
    if isinstance(error, _CURABLE) or _OUTAGE.search(text):
        return BrokerRefusesError(text)
    return BrokerReplyError(text)


def raised_by_signal(error: BaseException) -> BaseException | None:
    """What a signal handler of the user has raised, if that is what went wrong, or is behind it.

    A time limit may well raise TimeoutError, which the operating system raises, too, and which the client library
    takes for a lost connection. What tells the two apart is the handler's frame in the traceback. An exception that a
    caller handles while it calls us is behind ours, too, and none of our business: the caller has caught it.
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
    """The frames that have called the one in which an error was caught."""
    found: set[FrameType] = set()
    frame = error.__traceback__.tb_frame.f_back if error.__traceback__ else None
    while frame is not None:
        found.add(frame)
        frame = frame.f_back
    return found


def _handlers() -> Iterator[CodeType]:
    """The code of all signal handlers that are written in Python."""
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
