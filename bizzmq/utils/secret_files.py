"""Files that hold a secret: a key, or a URL with a password."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bizzmq.validation.base_errors import ConfigurationError

_SECRET_LIMIT_BYTES = 64 * 1024


def read_secret(path: Path) -> str:
    """The text of a file that holds a secret, without surrounding white space.

    Its group may read it, because that is how platforms pass secrets to a process that is not root; others may not.

    Raises:
        ConfigurationError: it cannot be read, is empty, or is open to others. The text contains the path, never the
            content.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO could block.
        descriptor = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {reason}") from None
    try:
        problem = _secret_problem(os.fstat(descriptor))
        if problem is not None:
            raise ConfigurationError(f"the file {str(path)!r} holds a secret but {problem}")
        data = os.read(descriptor, _SECRET_LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"the file {str(path)!r} is not UTF-8 text") from None
    if not text or len(data) > _SECRET_LIMIT_BYTES:
        raise ConfigurationError(f"the file {str(path)!r} is {'empty' if not text else 'too large for a secret'}")
    return text


def _secret_problem(found: os.stat_result) -> str | None:
    """Why a file is not a safe place for a secret, as the end of a sentence."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if found.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    return "is open to others: chmod 600 it" if stat.S_IMODE(found.st_mode) & 0o027 else None
