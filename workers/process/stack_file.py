"""A file without a name into which faulthandler writes a worker's stacks, even as the last thing before it dies."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

from bizzmq.consumer.handlers import handler
from bizzmq.errors import ConfigurationError
from bizzmq.protocol.error_record import shorten
from bizzmq.utils import scratch_directory

_LONGEST_BYTES = 200_000
_FATAL = "Fatal Python error"
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')
_OURS = (*handler.OWN_FILES, str(Path(__file__).parents[1] / "worker" / "worker.py"))


class StackFile:
    """The file of one slot: its worker writes, the supervisor reads."""

    def __init__(self, name: str) -> None:
        self.descriptor = _open_without_name(name)
        os.set_inheritable(self.descriptor, False)

    def clear(self) -> None:
        """Forget what was written."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    @property
    def is_written(self) -> bool:
        """Whether there is something in it."""
        return os.fstat(self.descriptor).st_size > 0

    def read(self) -> str:
        """What was written, without the frames that lead from the pool's start to the user's handler."""
        return shorten(_without_our_frames(self.text()))

    def text(self) -> str:
        """All that was written."""
        size = min(os.fstat(self.descriptor).st_size, _LONGEST_BYTES)
        return os.pread(self.descriptor, size, 0).decode("utf-8", "replace")

    def keep_fatal(self) -> None:
        """Forget what was written, unless it ends with a fatal error."""
        if _FATAL not in self.text():
            self.clear()

    def close(self) -> None:
        os.close(self.descriptor)


def _open_without_name(name: str) -> int:
    """The descriptor of a file in memory where the system has that, else of a temporary file."""
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create(name, 0)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSYS):  # a sandbox forbids it
                raise
    try:
        descriptor, path = tempfile.mkstemp(prefix="bizzmq-stack-")
    except FileNotFoundError:
        raise ConfigurationError(f"{scratch_directory.NONE}: name one by TMPDIR") from None
    Path(path).unlink()
    return descriptor


def handler_frames(text: str) -> list[tuple[str, int, str]]:
    """File, line and function of each frame of the handler, the most recent call first.

    Empty if no thread runs the handler, or the text is not complete.
    """
    for section in reversed(re.split(r"\n\n", text)):
        frames: list[tuple[str, int, str]] = []
        for line in section.splitlines():
            found = _FRAME.fullmatch(line)
            if found is None:
                continue
            if found[1] in _OURS:
                return frames
            frames.append((found[1], int(found[2]), found[3]))
    return []


def _without_our_frames(text: str) -> str:
    """A stack begins with the most recent call: from the frame that calls the handler on, all frames are ours."""
    kept, is_ours = [], False
    for line in text.splitlines():
        if not line.startswith("  File "):
            is_ours = False
        is_ours = is_ours or any(f'"{file}"' in line for file in _OURS)
        if not is_ours:
            kept.append(line)
    return "\n".join(kept)
