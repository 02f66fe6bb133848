"""Tells the user's own files from those of libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_OUR_OWN = str(Path(__file__).parents[2])


def is_of_the_user(path: str) -> bool:
    """Whether a file is neither of the standard library, nor installed, nor BizzMQ's."""
    if path.startswith("<") or "site-packages" in path or "dist-packages" in path:
        return False
    return not path.startswith((sys.prefix + os.sep, sys.base_prefix + os.sep, _OUR_OWN + os.sep))
