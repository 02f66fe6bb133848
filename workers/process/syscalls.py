"""System calls that only some systems have, each with a portable fallback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import Any, Callable, Container

from bizzmq.utils import clock

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HAS_WAITID = hasattr(os, "waitid")  # not on macOS before Python 3.13


def die_with_parent(signal_number: int) -> None:
    """Ask Linux for a signal when the parent dies. Elsewhere only a closed channel shows it, between messages."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def die_with_adopter(pid: int, signal_number: int, is_gone: Callable[[], bool], patience_s: float = 10.0) -> None:
    """As `die_with_parent`, in a process that was forked twice: `pid` adopts it when the process between has died.

    Before that, the death of the process between would send the signal. On a busy machine it may take seconds. After
    `patience_s` seconds no signal is asked for.

    Args:
        is_gone: whether the process `pid` has died.
    """
    if not sys.platform.startswith("linux"):
        return
    give_up_s = clock.monotonic() + patience_s
    while os.getppid() != pid:
        if is_gone() or clock.monotonic() >= give_up_s:
            return
        clock.sleep(0.0005)
    with contextlib.suppress(OSError):
        # The dying process changes the parents of its children, then sends signals, both under one lock of the kernel.
        # This call waits for that lock, and changes nothing: this process leads its group already.
        os.setpgid(0, 0)
    die_with_parent(signal_number)


def adopt_orphans() -> bool:
    """Become the parent of descendants whose parent has died (a child subreaper); False if that is not possible."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def reap_orphans(own: Container[int]) -> int:
    """Reap dead orphans that this process has adopted, but none of its own children. Returns how many."""
    if not _HAS_WAITID:
        return 0
    count = 0
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if found is None or found.si_pid in own:
            return count  # a child of our own comes first: it is reaped where its exit is handled
        os.waitpid(found.si_pid, 0)
        count += 1


def kill_group(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Signal a worker and its process group; the worker alone if it does not lead a group yet."""
    try:
        os.killpg(pid, signal_number)
    except (ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return  # it is gone already


def reap(pid: int, on_death: Callable[[], None] | None = None) -> tuple[int, Any] | None:
    """The status and resource usage of a dead child, as of wait4; None while it is alive.

    Kills what it has left in its process group. With waitid that happens before the child is reaped, because until then
    neither its pid nor the id of its group can be reused.

    Args:
        on_death: called when the child is dead; with waitid before it is reaped.
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
            return None  # still a child of the template, and soon of this process
        return 0, resource.struct_rusage((0,) * 16)  # another process has reaped it: its status is lost
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
    """Signal a process, but not its group. Does nothing if it is gone."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return  # it is gone


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger; False where the system does not show it."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - short
            return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False
