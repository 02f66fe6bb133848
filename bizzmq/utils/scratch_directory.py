"""Temporary directories. There may be none: all that Python knows may be missing, read-only or full."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from bizzmq.errors import ConfigurationError

NONE = "no directory for temporary files can be written to"


def parent() -> Path | None:
    """The system's directory for temporary files; None if none is usable."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


@contextmanager
def directory(prefix: str) -> Iterator[str]:
    """A context manager: a new directory, which is removed afterwards even if a server still writes into it.

    Raises:
        ConfigurationError: no directory can be created.
    """
    try:
        name = tempfile.mkdtemp(prefix=prefix)
    except OSError:
        raise ConfigurationError(f"{NONE}: set TMPDIR") from None
    try:
        yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)
