"""The fingerprint of a failure: equal for dead letters that failed in the same way.

It is computed from the error record, so it also exists for dead letters that an earlier release has stored.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any, Iterable, Mapping, NamedTuple

LENGTH = 12
"""Hex digits of a fingerprint."""
_FRAME = re.compile(r'(?: {2}[|+] )? {2}File "(?P<file>[^"\n]+)", line (?P<line>\d+),? in (?P<function>[^\n]+)')
_SOURCE = re.compile(r"(?: {2}\| )? {4}(?P<source>[^\s~^][^\n]*)")
_TRACEBACK = re.compile(r"^(?: {2}[|+] )?(?:Exception Group )?Traceback \(most recent call last\):$", re.MULTILINE)
_CHAINED = re.compile(
    r"^(?:The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)$",
    re.MULTILINE,
)
_LIBRARY = re.compile(r"^<|[\\/](?:site-packages|dist-packages|lib(?:64|32)?[\\/]python3(?:\.\d+)?)[\\/]")


class Frame(NamedTuple):
    """A frame of a traceback. `source` is its line of code, "" if that is unknown."""

    file: str
    line: int
    function: str
    source: str = ""

    def __str__(self) -> str:
        return f"{_base_name(self.file)}:{self.line} in {self.function}"


class Fingerprint(NamedTuple):
    """The fingerprint of an error record.

    Attributes:
        value: 12 hex digits.
        error_type: the name of the error's type; "" without an error record.
        frame: the last frame of the user's code; the last one of a library if there is none of the user's; None
            without a traceback.
    """

    value: str
    error_type: str
    frame: Frame | None


def fingerprint_of(record: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint of an error record: of the error's type, and of the last frame of the user's code.

    A frame counts by the name of its file, its function and its line of code, so a fingerprint outlives a deploy to
    another folder and a change elsewhere in the file. A crash counts by its signal, too. The error's text does not
    count, because it often contains values of one message.
    """
    names = ("error_type", "signal", "traceback", "stack")
    return _fingerprint(*(_text(record, name) for name in names))


@lru_cache(maxsize=256)  # thousands of dead letters have one traceback
def _fingerprint(error_type: str, signal: str, traceback: str, stack: str) -> Fingerprint:
    frame = user_frame(frames_of(traceback)) or user_frame(reversed(stack_of(stack)))
    place = ("", "", "") if frame is None else (_base_name(frame.file), frame.function, frame.source or f"{frame.line}")
    data = "\0".join((error_type, signal, *place)).encode("utf-8", "surrogatepass")
    return Fingerprint(hashlib.sha256(data).hexdigest()[:LENGTH], error_type, frame)


def frames_of(traceback: str) -> list[Frame]:
    """The frames of the error that was raised last in a traceback's text, outermost first.

    Only the lines of the traceback count, not the error's text, which may look like one.
    """
    last = _CHAINED.split(traceback)[-1]
    start = _TRACEBACK.search(last)
    frames: list[Frame] = []
    for line in last[start.end() :].splitlines()[1:] if start else ():
        frame = _FRAME.match(line)
        if frame is not None:
            frames.append(_frame(frame))
        elif not line.startswith("  "):
            break  # the error itself, and its text
        elif frames and not frames[-1].source:
            source = _SOURCE.match(line)
            frames[-1] = frames[-1]._replace(source=source["source"].strip() if source else "")
    return frames


def stack_of(stack: str) -> list[Frame]:
    """The frames of the first thread in the stack of a dead worker, innermost first."""
    frames: list[Frame] = []
    for line in stack.splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            frames.append(_frame(frame))
        elif frames:
            break
    return frames


def user_frame(frames: Iterable[Frame]) -> Frame | None:
    """The last frame of the user's code; else the last one of all; None without frames."""
    last = found = None
    for last in frames:
        found = last if is_user_file(last.file) else found
    return found or last


def is_user_file(file_name: str) -> bool:
    """Whether a file belongs neither to the standard library nor to an installed package."""
    return not _LIBRARY.search(file_name)


def _frame(match: re.Match[str]) -> Frame:
    return Frame(match["file"], int(match["line"][:9]), match["function"])


def _base_name(file_name: str) -> str:
    return re.split(r"[\\/]", file_name)[-1]


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
