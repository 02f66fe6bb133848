"""Forked children, each with its own process group."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Callable

INTERNAL = 70
"""The exit status of a child that an exception has ended."""


def fork(child: Callable[[], int]) -> int:
    """The pid of a process that calls the function and exits with its result."""
    pid = os.fork()
    if pid:
        return pid
    status = INTERNAL
    try:
        os.setsid()
        status = child()
    except BaseException:  # noqa: BLE001 - a forked child must not return
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)


def kill(pid: int) -> None:
    """Kill a child and the servers of its tests, which die with their parent."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
