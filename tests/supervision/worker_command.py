"""`bizzmq-worker` in an environment made by the test, for pools with `module=MODULE`.

POOL_FOLDER is its current directory. POOL_PRESSURE takes the place of /proc/pressure, so that other load on this
machine does not keep the pool from growing. Memory is always plentiful.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import psutil

from bizzmq.workers import cli
from bizzmq.workers.supervisor import autoscaler

MODULE = "tests.supervision.worker_command"
FOLDER, PRESSURE = "POOL_FOLDER", "POOL_PRESSURE"


def main() -> None:
    """The entry point."""
    os.chdir(os.environ.get(FOLDER, "."))
    plenty = SimpleNamespace(available=1 << 40, total=1 << 40)
    mock.patch.object(psutil, "virtual_memory", return_value=plenty).start()
    autoscaler._PRESSURE = Path(os.environ.get(PRESSURE, "/no/pressure"))
    cli.main()


if __name__ == "__main__":
    main()
