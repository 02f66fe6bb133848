"""File systems for one test: a small disk that it can fill, and mounts that only one command sees."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator

_BLOCK = b"\0" * 4096


class Tmpfs:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Fill it to the last byte."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


@contextlib.contextmanager
def tmpfs(path: Path, size: str) -> Iterator[Tmpfs]:
    """Mount a tmpfs of this size (such as "64k") on a new directory for the time of the block."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "bizzmq-test", str(path)], check=True)
    try:
        yield Tmpfs(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        path.rmdir()


def in_own_mounts(*commands: str) -> list[str]:
    """The prefix of a command: only the command and its children see what these shell commands mount."""
    return ["unshare", "--mount", "sh", "-c", " && ".join([*(f"{{ {one}; }}" for one in commands), 'exec "$@"']), "sh"]


@functools.lru_cache(maxsize=None)
def can_mount() -> bool:
    """Whether this user may mount a tmpfs here."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as directory:
        try:
            with tmpfs(Path(directory) / "probe", "64k"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False
