"""Lines of the scripts that are new since a commit, to try only their mutants."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Dict, Set

from tests.mutation.mutants import LUA

_FILE = re.compile(r"^\+\+\+ b/(?:.*/)?(\w+)\.lua$")
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def lines_since(commit: str, folder: Path = LUA) -> Dict[str, Set[int]]:
    """Numbers of the lines of each script that git finds added or changed since `commit`.

    Uncommitted changes count. A script that git does not track does not.

    Raises:
        subprocess.CalledProcessError: git knows no such commit.
    """
    command = ["git", "diff", "--unified=0", "--no-color", "--no-ext-diff", commit, "--", "."]
    return lines_of(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout)


def lines_of(diff: str) -> Dict[str, Set[int]]:
    """The same from the text of a diff without context lines."""
    found: Dict[str, Set[int]] = {}
    script = ""
    for line in diff.splitlines():
        file, hunk = _FILE.match(line), _HUNK.match(line)
        if file:
            script = file.group(1)
        elif hunk and script:
            first, count = int(hunk.group(1)), int(hunk.group(2) or 1)
            found.setdefault(script, set()).update(range(first, first + count))
    return found
