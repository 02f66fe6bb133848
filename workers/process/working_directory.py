"""The directory that the pool was started in, kept by name, so that each import follows symbolic links in it anew."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bizzmq.errors import ConfigurationError


def logical_path() -> str:
    """The working directory with its symbolic links, from PWD if that is right; otherwise the physical path.

    Raises:
        ConfigurationError: the directory does not exist any more.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            f"the working directory is gone ({error.strerror}): start the pool in another one"
        ) from None
    named = os.environ.get("PWD", "")
    try:
        if named.startswith("/") and Path(named).samefile(here):
            return named
    except OSError:
        return str(here)
    return str(here)


def enter(path: str) -> None:
    """Change to a directory, and replace the former working directory by it on the import path.

    Raises:
        ConfigurationError: the directory cannot be entered.
    """
    try:
        before = str(Path.cwd())
    except OSError:
        before = ""
    try:
        os.chdir(path)
        now = str(Path.cwd())
    except OSError as error:
        raise ConfigurationError(f"the directory {path} cannot be entered any more: {error.strerror}") from None
    if now != before:
        sys.path[:] = [now if entry == before else entry for entry in sys.path]
