"""Output of users' code in the processes of a pool: written line by line, and never the reason that a message fails.

A print is a log line of the handler, and a lost line is no reason to run a message again. So a line that cannot be
written is dropped, like a line of the pool's own log. A reader that does not read blocks the handler, as it blocks any
program, until the message's time limit.
"""

from __future__ import annotations

import ctypes
import errno
import io
import logging
import os
import select
import sys
from functools import lru_cache
from typing import Any, TextIO

from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.worker")
_UNWRITABLE = frozenset([
    errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.ENXIO, errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
])  # fmt: skip
"""No reader, no terminal, no descriptor, no space. A signal handler may raise other OSErrors, such as TimeoutError."""
_LINE_BUFFERED = 1  # _IOLBF, on Linux and macOS
_replaced: list[TextIO] = []
"""The interpreter's streams. They stay open, because other code may hold them and print to the same descriptor."""


class _Output(io.FileIO):
    """A file that writes data at once and completely, or drops it."""

    _is_logged = False

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                count: int | None = super().write(rest)
            except OSError as error:
                if error.errno not in _UNWRITABLE:
                    raise
                self._log_dropped(error)
                break
            if count is None:  # another process has made the descriptor non-blocking
                self._wait()
            else:
                rest = rest[count:]
        return size

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self.fileno(), select.POLLOUT)
        poller.poll()

    def _log_dropped(self, error: OSError) -> None:
        """Log it once in each process, because the log may be written to the same place."""
        if not self._is_logged:
            self._is_logged = True
            log(_logger, logging.WARNING, "what handlers print cannot be written, and is dropped", stream=self.name,
                why=os.strerror(error.errno or 0), pid=os.getpid())  # fmt: skip


def replace_streams() -> None:
    """Replace the interpreter's stdout and stderr, unless something else has. Call it before users' code runs."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            _replaced.append(stream)
            made = _line_buffered(stream, number)
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)
    buffer_by_line()
    _buffer_c_by_line()


def _line_buffered(stream: io.TextIOWrapper, number: int) -> TextIO:
    raw = _Output(number, "wb", closefd=False)
    raw.name = stream.name
    errors = "backslashreplace" if stream.errors == "strict" else stream.errors
    # Not write_through, as for PYTHONUNBUFFERED: a line and its end would be two writes, mixed with other processes'.
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors=errors, line_buffering=True)


def buffer_by_line() -> None:
    """Flush the current stdout and stderr at each end of line, even if a module has replaced them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.line_buffering:
            stream.reconfigure(line_buffering=True)


def flush() -> None:
    """Write out what was printed without an end of line."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S112 - the stream may be an object of the user, or None
            continue


def flush_c() -> None:
    """Write out what libraries have printed through C's stdio, which Python's streams do not flush."""
    found = _c_stdout()
    if found is not None:
        libc, stdout = found
        libc.fflush(stdout)


def _buffer_c_by_line() -> None:
    found = _c_stdout()
    if found is not None:
        libc, stdout = found
        libc.setvbuf(stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))


@lru_cache(maxsize=None)
def _c_stdout() -> tuple[Any, ctypes.c_void_p] | None:
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    try:
        libc = ctypes.CDLL(None)
        return libc, ctypes.c_void_p.in_dll(libc, name)
    except (OSError, ValueError):
        return None
