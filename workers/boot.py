"""What a worker or the template says while it starts, and how a failure to start is put into words."""

from __future__ import annotations

import traceback
from typing import Any, Mapping, NamedTuple

from bizzmq import handler
from bizzmq.workers import exits
from bizzmq.workers.nested import NestedPoolError

HELLO = "hello"
GO = "go"
BOOTED = "booted"
FAILED = "failed"


class BootFailure(NamedTuple):
    """Why no worker can be had: one line, the user's traceback if their import raised, and the exit code."""

    error: str
    traceback: str = ""
    code: int = exits.CANNOT_BOOT


def failure_of(error: Exception) -> dict[str, Any]:
    """The fields of a FAILED message: those of a BootFailure."""
    cause = error.__cause__
    if isinstance(cause, NestedPoolError):
        return BootFailure(f"{error}: {cause}", code=exits.USAGE)._asdict()
    if not isinstance(error, handler.HandlerImportError) or cause is None:
        return BootFailure(str(error))._asdict()
    lines = traceback.format_exception(type(cause), cause, handler.from_user(cause.__traceback__))
    return BootFailure(f"{error}: {type(cause).__name__}: {cause}", "".join(lines))._asdict()


def failure_in(message: Mapping[str, Any]) -> BootFailure:
    """The BootFailure that a FAILED message tells of."""
    return BootFailure(message["error"], message["traceback"], message["code"])
