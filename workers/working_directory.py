"""The directory that the pool was started in, by the name that it had: a link in it is followed anew at each import."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bizzmq.errors import ConfigurationError


def as_named() -> str:
    """The working directory, with its links, as the shell has named it; else as the system names it.

    Raises:
        ConfigurationError: it is gone.
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


def enter(named: str) -> None:
    """Go to where this name leads now, and import from there instead of from where it led.

    Raises:
        ConfigurationError: it leads nowhere.
    """
    try:
        before = str(Path.cwd())
    except OSError:
        before = ""
    try:
        os.chdir(named)
        now = str(Path.cwd())
    except OSError as error:
        raise ConfigurationError(f"the directory {named} cannot be entered any more: {error.strerror}") from None
    if now != before:
        sys.path[:] = [now if entry == before else entry for entry in sys.path]
