"""The standard streams of a command, which can be closed, full, without a reader, or of a limited encoding."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, Iterable, TextIO

from bizzmq.utils.log_stream import LineWriter


class OutputError(OSError):
    """Standard output cannot be written: the disk is full, the stream is closed, or its reader has gone."""


def open_closed(*, usable: bool = True) -> None:
    """Open /dev/null for a closed stdin, stdout or stderr, before another file gets its number.

    Args:
        usable: True for streams that can be used, like those of a daemon. False for streams that fail like the closed
            ones, because /dev/null is opened in the wrong direction.
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
    """A context manager: stdout raises OutputError, stderr never fails, and both escape unsupported characters.

    All three streams wait if another process has made the file non-blocking; otherwise a read would take a pause for
    the end of the file. Output that cannot be written is discarded at the end, so that the interpreter does not fail
    when it exits.
    """

    def __init__(self) -> None:
        self._before: tuple[TextIO, TextIO] | None = None
        self._stdin_before: TextIO | None = None

    def __enter__(self) -> GuardedStreams:
        self._guard_stdin()
        try:
            numbers = sys.stdout.fileno(), sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # not files: a program captures the output
            return self
        self._before = sys.stdout, sys.stderr
        sys.stdout = _text(_Output(numbers[0], "wb", closefd=False), sys.stdout)
        sys.stderr = _text(_Errors(numbers[1], "wb", closefd=False), sys.stderr)
        return self

    def _guard_stdin(self) -> None:
        try:
            guarded = _Input(sys.stdin.fileno(), "rb", closefd=False)
        except (AttributeError, OSError, ValueError):  # not a file
            return
        self._stdin_before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BufferedReader(guarded), sys.stdin.encoding, sys.stdin.errors)

    def __exit__(self, *_error: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Restore the original streams, for the user's code. Output that cannot be written is discarded."""
        if self._stdin_before is not None:
            sys.stdin, self._stdin_before = self._stdin_before, None
        before, self._before = self._before, None
        if before is None:
            return
        for stream in (sys.stdout, sys.stderr):
            _flush_or_forget(stream)
        sys.stdout, sys.stderr = before


class _Input(io.FileIO):
    def readinto(self, buffer: Any) -> int:
        while True:
            count: int | None = super().readinto(buffer)
            if count is not None:
                return count
            _wait_for(self, select.POLLIN)


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        while True:
            try:
                count: int | None = super().write(data)
            except OSError as error:
                raise OutputError(error.errno, error.strerror) from None
            if count is not None:
                return count
            _wait_for(self, select.POLLOUT)


class _Errors(_Output):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)  # there is no other place to report it


def _wait_for(file: io.FileIO, event: int) -> None:
    """Wait until a non-blocking file can be read or written."""
    poller = select.poll()
    poller.register(file.fileno(), event)
    poller.poll()


def _text(raw: io.FileIO, like: TextIO) -> TextIO:
    encoding = like.encoding or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=True)


def _flush_or_forget(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # the rest of the stream's buffer is written there when it is closed
        os.close(nowhere)
    except ValueError:
        return  # the stream is closed


def show(text: str = "", *, end: str = "\n") -> None:
    """Write to stdout, at once. Raises OutputError."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def show_lines(lines: Iterable[str]) -> None:
    """Write several lines to stdout with one call. Raises OutputError."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def show_on_stderr(text: str, *, end: str = "\n") -> None:
    """Write to stderr without waiting for a slow reader. Never fails."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # stderr is closed, or not a file
        sys.stderr.write(text + end)
    else:
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        sys.stderr.flush()
        LineWriter(descriptor).write((text + end).encode(encoding, "backslashreplace"))
