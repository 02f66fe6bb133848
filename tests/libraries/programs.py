"""Programs from Debian packages, which pip does not install, and their paths."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_PROGRAMS = {"chromium": "chromium", "ffmpeg": "ffmpeg", "gcc": "gcc", "git": "git", "postgresql": "postgres"}


def find(package: str) -> str | None:
    """The path of this package's program; None if it is not installed."""
    # Debian installs PostgreSQL's programs outside PATH, by version.
    folders = [os.environ.get("PATH", os.defpath), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(_PROGRAMS[package], path=os.pathsep.join(folders))
