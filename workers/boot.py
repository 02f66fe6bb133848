"""What a worker or the template says while it starts, and how a failure to start is put into words."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from bizzmq import handler

HELLO = "hello"
GO = "go"
BOOTED = "booted"
FAILED = "failed"


class BootFailure(NamedTuple):
    """Why a handler cannot be had: one line, and the user's traceback if their import raised."""

    error: str
    traceback: str


def failure_of(error: Exception) -> dict[str, str]:
    """The fields of a FAILED message."""
    cause = error.__cause__
    if not isinstance(error, handler.HandlerImportError) or cause is None:
        return BootFailure(str(error), "")._asdict()
    lines = traceback.format_exception(type(cause), cause, handler.from_user(cause.__traceback__))
    return BootFailure(f"{error}: {type(cause).__name__}: {cause}", "".join(lines))._asdict()
