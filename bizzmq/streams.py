"""The standard streams of a command: closed, full, without a reader, or unable to show a character."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, Iterable, TextIO

from bizzmq.log_stream import LineWriter


class OutputError(OSError):
    """Standard output takes no more: a full disk, a closed stream, a reader or a terminal that has gone."""


def open_closed(*, usable: bool = True) -> None:
    """Put /dev/null where stdin, stdout or stderr are closed, before anything else gets their numbers.

    Args:
        usable: whether it may be used, as a daemon's streams are. If not, it is open the wrong way round: to use it
            fails as the closed stream would.
    """
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
        if not usable:
            wrong = os.open(os.devnull, os.O_RDONLY if descriptor else os.O_WRONLY)
            os.dup2(wrong, descriptor)
            os.close(wrong)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r")
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", buffering=1, errors="backslashreplace"))


class GuardedStreams:
    """While entered: stdout raises OutputError, stderr never fails, both escape what their encoding does not have.

    What cannot be written is forgotten at the end, so that the interpreter does not fail over it when it exits.
    """

    def __init__(self) -> None:
        self._before: tuple[TextIO, TextIO] | None = None

    def __enter__(self) -> GuardedStreams:
        try:
            numbers = sys.stdout.fileno(), sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # no files: a program that captures what is written
            return self
        self._before = sys.stdout, sys.stderr
        sys.stdout = _text(_Output(numbers[0], "wb", closefd=False), sys.stdout)
        sys.stderr = _text(_Errors(numbers[1], "wb", closefd=False), sys.stderr)
        return self

    def __exit__(self, *_error: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """The streams as they were, for code that is not ours. What cannot be written any more is forgotten."""
        before, self._before = self._before, None
        if before is None:
            return
        for stream in (sys.stdout, sys.stderr):
            _flush_or_forget(stream)
        sys.stdout, sys.stderr = before


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        while True:
            try:
                count: int | None = super().write(data)
            except OSError as error:
                raise OutputError(error.errno, error.strerror) from None
            if count is not None:
                return count
            poller = select.poll()  # it does not block, since another process wants that of it: we do
            poller.register(self.fileno(), select.POLLOUT)
            poller.poll()


class _Errors(_Output):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)  # there is nobody left to be told


def _text(raw: io.FileIO, like: TextIO) -> TextIO:
    encoding = like.encoding or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=True)


def _flush_or_forget(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # what is still in the stream's buffer goes there when it is closed
        os.close(nowhere)
    except ValueError:
        return  # it is closed


def show(text: str = "", *, end: str = "\n") -> None:
    """Write to stdout, at once. Raises OutputError."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def show_lines(lines: Iterable[str]) -> None:
    """Write some lines to stdout at once. Raises OutputError."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def say(text: str, *, end: str = "\n") -> None:
    """Write to stderr, beside the log, without waiting for its reader. Never fails."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file at all
        sys.stderr.write(text + end)
    else:
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr.flush()
        LineWriter(descriptor).write((text + end).encode(encoding, "backslashreplace"))
