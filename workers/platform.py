"""What only some systems have, each with its portable fallback."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1
_HAS_WAITID = hasattr(os, "waitid")  # not on macOS before Python 3.13


def die_with_parent(signal_number: int) -> None:
    """Ask Linux for a signal when the parent dies. Elsewhere the lifeline alone tells, between messages."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    except (OSError, AttributeError):
        return


def kill_group(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Signal a worker and all that its handler started; the worker alone if it has no group of its own yet."""
    try:
        os.killpg(pid, signal_number)
    except (ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return  # it is gone, which is what was wanted


def reap(pid: int) -> tuple[int, Any] | None:
    """A dead child's status and resource usage, as of wait4; None while it lives.

    What it has left behind in its process group is killed: before the child is reaped where the system
    can tell (waitid), since until then neither its pid nor its group's id can be reused.
    """
    try:
        if _HAS_WAITID:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            kill_group(pid)
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:  # somebody else has reaped it: its status is lost, its death is not
        return 0, resource.struct_rusage((0,) * 16)
    if found == 0:
        return None
    if not _HAS_WAITID:
        kill_group(pid)
    return status, usage


def kill_group_leader(pid: int, signal_number: int) -> None:
    """Signal a worker alone, not what its handler has started."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return  # it is gone
