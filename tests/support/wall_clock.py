"""A wall clock that a test can set for the processes that it starts. Linux, with a C compiler."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock_shim.c")


def compiler() -> str | None:
    """The path of a C compiler, where the shim works; else None."""
    if sys.platform != "linux":
        return None
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class WallClock:
    """Follows the system's wall clock until it is made to jump. The monotonic clock is not changed.

    Attributes:
        env: the environment of a process that uses this clock.
    """

    def __init__(self, directory: Path) -> None:
        found = compiler()
        assert found is not None
        library = directory / "clock_shim.so"
        subprocess.run([found, "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
        self._offset = directory / "clock_offset"
        self._offset.write_bytes(struct.pack("@l", 0))
        self.env = {"LD_PRELOAD": str(library), "CLKOFF": str(self._offset)}

    def set(self, offset_s: int) -> None:
        """Set the clock `offset_s` seconds ahead of the system's clock, at once."""
        with self._offset.open("r+b") as file:  # in place: the file is mapped
            file.write(struct.pack("@l", offset_s))
