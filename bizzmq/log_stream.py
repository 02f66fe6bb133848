"""Log lines to a descriptor, without ever waiting long for whoever reads them.

A full disk, a pipe that nobody reads, a stopped terminal: none of them may stop a supervisor or hold up an ack. So a
line that cannot be written now is dropped and counted, and the count is said as soon as lines flow again.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
from typing import Callable

PATIENCE_S = 0.1
"""How long the first line that finds no room waits for a slow reader, seconds; those after it do not wait."""

DROPPED = "log lines were dropped"


class LineWriter:
    """Writes lines to a descriptor, which it leaves open and in its own mode: others share that.

    Attributes:
        trouble: why the last line was not taken, or "".
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._send = _unblocking(descriptor)
        self._rest = b""
        self.trouble = ""

    def write(self, line: bytes) -> bool:
        """Whether the line was taken; what of a long one does not fit at once follows before the next."""
        if self._rest:
            self._rest = self._rest[self._push(self._rest) :]
            if self._rest:
                return False
        count = self._push(line)
        if count:
            self._rest = line[count:]
        return count > 0

    def forget(self) -> None:
        """In a forked child: what is left of a line is its parent's to write."""
        self._rest = b""

    def _push(self, data: bytes) -> int:
        """How many bytes were taken."""
        try:
            count = self._send(self._descriptor, data)
        except BlockingIOError:
            if self.trouble or not _room(self._descriptor, PATIENCE_S):
                self.trouble = "nobody reads them"
                return 0
            return self._push_once_more(data)
        except OSError as error:
            self.trouble = os.strerror(error.errno or errno.EIO)
            return 0
        self.trouble = ""
        return count

    def _push_once_more(self, data: bytes) -> int:
        try:
            return self._send(self._descriptor, data)
        except OSError as error:  # another process has filled the room
            self.trouble = os.strerror(error.errno or errno.EIO)
            return 0


class LineHandler(logging.Handler):
    """Gives records to a LineWriter; says how many it had to drop, as a record of its own, when it can."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._writer = LineWriter(descriptor)
        self._pid = os.getpid()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._pid != os.getpid():
            self._pid, self._dropped = os.getpid(), 0
            self._writer.forget()
        if not (self._report() and self._writer.write(self._line(record))):
            self._dropped += 1

    def flush(self) -> None:
        """Say what is still to be said, if that can be written now. Also called when the process ends."""
        if self._pid == os.getpid():
            self._report()

    def _report(self) -> bool:
        """Whether nothing remains to be said about dropped lines."""
        if not self._dropped:
            return True
        fields = {"lines": self._dropped, "why": self._writer.trouble}
        record = logging.LogRecord(__name__, logging.WARNING, "", 0, DROPPED, None, None)
        record.bizzmq_fields = fields  # as logs.log leaves them
        if not self._writer.write(self._line(record)):
            return False
        self._dropped = 0
        return True

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record with wrong arguments must not stop the log
            text = f"a log record of {record.name} cannot be rendered: {type(error).__name__}"
        return text.encode("utf-8", "backslashreplace") + b"\n"


Send = Callable[[int, bytes], int]


def _unblocking(descriptor: int) -> tuple[int, Send]:
    """A descriptor for the same file, and how to write to it without waiting.

    O_NONBLOCK belongs to the open file that all processes share, some of them not ours, so it is set on one of our own.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return descriptor, _send_to_socket
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return descriptor, os.write  # a disk fails and does not block
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # not on Linux, or not ours to open: a pipe with many writers may then block in a rare moment
        return descriptor, _write_if_there_is_room
    return own, os.write


def _send_to_socket(descriptor: int, data: bytes) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as link:
        return link.send(data, socket.MSG_DONTWAIT)


def _write_if_there_is_room(descriptor: int, data: bytes) -> int:
    if not _room(descriptor, 0.0):
        raise BlockingIOError
    return os.write(descriptor, data[: select.PIPE_BUF])


def _room(descriptor: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(timeout_s * 1000))
