"""Which files are the user's own, and which belong to libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_FOREIGN = tuple(str(folder) + os.sep for folder in (sys.prefix, sys.base_prefix, Path(__file__).parents[2]))


def is_of_the_user(path: str) -> bool:
    """Whether a file does not belong to the standard library, an installed package or BizzMQ."""
    return not (path.startswith(_FOREIGN) or path.startswith("<") or "site-packages" in path or "dist-packages" in path)
