"""Log lines written to a descriptor without waiting for a slow reader.

A full disk, a pipe without a reader, or a stopped terminal must not stop a supervisor or delay an ack. A line that
cannot be written now is dropped and counted, and the count is logged as soon as lines can be written again.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
from typing import Callable

from bizzmq.utils import readiness

PATIENCE_S = 0.1
"""How long the first line without room waits for a slow reader, seconds. The lines after it do not wait."""

DROPPED = "log lines were dropped"


class LineWriter:
    """Writes lines to a descriptor. It does not close it or change its mode, because other processes share it.

    Attributes:
        problem: why the last line was not accepted, or "".
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._send = _unblocking(descriptor)
        self._rest = b""
        self.problem = ""

    def write(self, line: bytes) -> bool:
        """Write a line; False if it was dropped. The rest of a long line is written before the next one."""
        if self._rest:
            self._rest = self._rest[self._push(self._rest) :]
            if self._rest:
                return False
        count = self._push(line)
        if count:
            self._rest = line[count:]
        return count > 0

    def forget(self) -> None:
        """In a forked child, drop the rest of a line: its parent writes it."""
        self._rest = b""

    def _push(self, data: bytes) -> int:
        """The number of bytes that were written."""
        try:
            count = self._send(self._descriptor, data)
        except BlockingIOError:
            if self.problem or not readiness.is_writable(PATIENCE_S, self._descriptor):
                self.problem = "nobody reads them"
                return 0
            return self._push_once_more(data)
        except OSError as error:
            self.problem = os.strerror(error.errno or errno.EIO)
            return 0
        self.problem = ""
        return count

    def _push_once_more(self, data: bytes) -> int:
        try:
            return self._send(self._descriptor, data)
        except OSError as error:  # another process has used the room
            self.problem = os.strerror(error.errno or errno.EIO)
            return 0


class LineHandler(logging.Handler):
    """Writes records with a LineWriter, and a record of its own about the number of dropped lines."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._writer = LineWriter(descriptor)
        self._pid = os.getpid()
        self._dropped = 0

    def write_to(self, descriptor: int) -> None:
        """Write to another descriptor from now on."""
        self._writer = LineWriter(descriptor)

    def emit(self, record: logging.LogRecord) -> None:
        if self._pid != os.getpid():
            self._pid, self._dropped = os.getpid(), 0
            self._writer.forget()
        if not (self._report() and self._writer.write(self._line(record))):
            self._dropped += 1

    def flush(self) -> None:
        """Log the number of dropped lines, if that is possible now. Also called when the process ends."""
        if self._pid == os.getpid():
            self._report()

    def _report(self) -> bool:
        """Log the number of dropped lines; False if that is not possible now."""
        if not self._dropped:
            return True
        fields = {"lines": self._dropped, "why": self._writer.problem}
        record = logging.LogRecord(__name__, logging.WARNING, "", 0, DROPPED, None, None)
        record.bizzmq_fields = fields  # where logs.log puts them
        if not self._writer.write(self._line(record)):
            return False
        self._dropped = 0
        return True

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record with wrong arguments must not stop the log
            text = f"a log record of {record.name} cannot be formatted: {type(error).__name__}"
        return text.encode("utf-8", "backslashreplace") + b"\n"


Send = Callable[[int, bytes], int]


def _unblocking(descriptor: int) -> tuple[int, Send]:
    """A descriptor for the same file, and a function that writes to it without blocking.

    O_NONBLOCK applies to the open file, which other programs may share, so the file is opened a second time.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return descriptor, _send_to_socket
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return descriptor, readiness.write  # writing to a disk can fail but does not block
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # not Linux, or not permitted: in a rare case a pipe with several writers can then block
        return descriptor, _write_if_there_is_room
    return own, readiness.write


def _send_to_socket(descriptor: int, data: bytes) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as link:
        return link.send(data, socket.MSG_DONTWAIT)


def _write_if_there_is_room(descriptor: int, data: bytes) -> int:
    if not readiness.is_writable(0.0, descriptor):
        raise BlockingIOError
    return readiness.write(descriptor, data[: select.PIPE_BUF])
