"""What only some systems have, each with its portable fallback."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from typing import Any, Callable, Container

from bizzmq import clock

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HAS_WAITID = hasattr(os, "waitid")  # not on macOS before Python 3.13


def die_with_parent(signal_number: int) -> None:
    """Ask Linux for a signal when the parent dies. Elsewhere the lifeline alone tells, between messages."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> bool:
    """Become the parent of descendants whose own parent has gone (a child subreaper); False if that cannot be."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def wait_for_parent(pid: int, patience_s: float = 1.0) -> None:
    """Wait until this process's parent is the one that it is meant to have; a double fork takes a moment."""
    give_up_s = clock.monotonic() + patience_s
    while os.getppid() != pid and clock.monotonic() < give_up_s:
        clock.sleep(0.0005)


def reap_strangers(own: Container[int]) -> int:
    """Reap dead children that are none of ours: orphans that this process has adopted. Returns how many."""
    if not _HAS_WAITID:
        return 0
    count = 0
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if found is None or found.si_pid in own:
            return count  # one of ours stands first: it is reaped where its death is expected
        os.waitpid(found.si_pid, 0)
        count += 1


def kill_group(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Signal a worker and all that its handler started; the worker alone if it has no group of its own yet."""
    try:
        os.killpg(pid, signal_number)
    except (ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return  # it is gone, which is what was wanted


def reap(pid: int, on_death: Callable[[], None] | None = None) -> tuple[int, Any] | None:
    """A dead child's status and resource usage, as of wait4; None while it lives.

    What it has left behind in its process group is killed: before the child is reaped where the system
    can tell (waitid), since until then neither its pid nor its group's id can be reused.

    Args:
        on_death: called once it is dead, there before it is reaped, too.
    """
    try:
        if _HAS_WAITID:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            kill_group(pid)
            if on_death is not None:
                on_death()
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        if _exists(pid):
            return None  # the template's child still; in a moment it is ours
        return 0, resource.struct_rusage((0,) * 16)  # somebody else has reaped it: its status is lost
    if found == 0:
        return None
    if not _HAS_WAITID:
        kill_group(pid)
    return status, usage


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def signal_process(pid: int, signal_number: int) -> None:
    """Signal a worker alone, not what its handler has started."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return  # it is gone
