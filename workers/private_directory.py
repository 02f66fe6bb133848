"""Directories that are to be one user's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def problem(directory: Path) -> str:
    """What is wrong with a directory that is to be its owner's alone, as the end of a sentence, or "".

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return "is open to others: chmod 700 it"
    return "" if os.access(str(directory), os.W_OK | os.X_OK) else "cannot be written to"
