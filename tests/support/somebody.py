"""A user who is not root, for what root may do anyway: real processes, also where the tests themselves run as root.

Such a process may read whatever root can, since the interpreter and this tree may be root's alone. It may write nothing
but what it owns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

NOBODY = 65534
_READS = "-all,+dac_read_search"
_AS_NOBODY = [
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    f"--bounding-set={_READS}", f"--inh-caps={_READS}", f"--ambient-caps={_READS}",
]  # fmt: skip


def as_somebody() -> list[str]:
    """What to put before a command so that somebody else than root runs it; nothing if we are not root ourselves."""
    if os.geteuid() != 0:
        return []
    if not _is_possible():
        pytest.skip("root cannot become somebody else here: there is no setpriv, or it is not permitted")
    return list(_AS_NOBODY)


def give_away(*paths: Path) -> None:
    """Make these belong to whom `as_somebody` runs as."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)


@lru_cache(maxsize=None)
def _is_possible() -> bool:
    if shutil.which("setpriv") is None:
        return False
    return subprocess.run([*_AS_NOBODY, "true"], capture_output=True, check=False).returncode == 0
