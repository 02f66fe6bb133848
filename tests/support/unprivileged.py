"""Processes of an unprivileged user, also where the tests themselves run as root.

Such a process may read every file, because the interpreter and this tree may belong to root alone. It may write only
files that it owns.
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


def as_unprivileged() -> list[str]:
    """The prefix of a command that runs it as an unprivileged user; empty if the tests do not run as root."""
    if os.geteuid() != 0:
        return []
    if not _is_possible():
        pytest.skip("root cannot become another user here: setpriv is missing or not permitted")
    return list(_AS_NOBODY)


def give_to_unprivileged(*paths: Path) -> None:
    """Give these files to the user of `as_unprivileged`."""
    if os.geteuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)


@lru_cache(maxsize=None)
def _is_possible() -> bool:
    if shutil.which("setpriv") is None:
        return False
    return subprocess.run([*_AS_NOBODY, "true"], capture_output=True, check=False).returncode == 0
