"""Secrets in files, as container platforms hand them out: read once, and only where nobody else can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bizzmq.errors import ConfigurationError

_LIMIT_BYTES = 64 * 1024


def read(path: Path) -> str:
    """What the file holds, without white space around it.

    Its group may read it, since that is how platforms hand secrets to a process without root; nobody else may.

    Raises:
        ConfigurationError: it cannot be read, is empty, or is open to others. The text names the path, never what
            the file holds.
    """
    try:
        # A FIFO would keep us waiting; what is no file is refused below.
        descriptor = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {reason}") from None
    try:
        problem = _problem(os.fstat(descriptor))
        if problem:
            raise ConfigurationError(f"the file {str(path)!r} holds a secret but {problem}")
        data = os.read(descriptor, _LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"the file {str(path)!r} is no text") from None
    if not text or len(data) > _LIMIT_BYTES:
        raise ConfigurationError(f"the file {str(path)!r} is {'empty' if not text else 'too large for a secret'}")
    return text


def _problem(found: os.stat_result) -> str:
    """What is wrong with a file that is to be read by few, or ""."""
    if not stat.S_ISREG(found.st_mode):
        return "is no file"
    if found.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    return "is open to others: chmod 600 it" if stat.S_IMODE(found.st_mode) & 0o027 else ""
