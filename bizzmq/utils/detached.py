"""Processes that a handler starts carry a mark of its worker, so that they can be ended with the worker.

The mark is a number in the soft value of RLIMIT_LOCKS, a resource limit that Linux has not enforced since 2.4.25.
Child processes inherit it through fork, exec, setsid, a daemon's double fork and a cleared environment, and /proc shows
it for every process. See docs/internals/decisions/0056-marked-descendants.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import sys
from typing import Iterator

_RLIMIT_LOCKS = 10
_FIRST = 1 << 48
_LABEL = b"Max file locks"
IS_POSSIBLE = sys.platform.startswith("linux")


def mark_of(worker: str) -> int:
    """The mark for a worker's id: 48 bits of its hash, plus a bit that distinguishes a mark from a limit."""
    return _FIRST + int.from_bytes(hashlib.sha256(worker.encode("utf-8")).digest()[:6], "big")


def is_mark(limit: int) -> bool:
    """Whether a limit is the mark of a worker."""
    return _FIRST <= limit < 2 * _FIRST


def mark(worker: str) -> None:
    """Mark this process and all processes that it starts from now on. Does nothing where that is not possible."""
    if IS_POSSIBLE:
        _set(mark_of(worker))


def read_mark(pid: int) -> int:
    """The mark of a process; 0 if it has none, or no longer exists."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:  # noqa: PTH123 - read for many processes at once
            found = next((line for line in limits if line.startswith(_LABEL)), b"")
    except OSError:
        return 0
    soft = found[len(_LABEL) :].split()[:1]
    number = int(soft[0]) if soft and soft[0].isdigit() else 0
    return number if is_mark(number) else 0


@contextlib.contextmanager
def detached() -> Iterator[None]:
    """A context manager: processes that a handler starts inside it, in their own session, outlive the worker.

    All other processes that a handler starts are ended with its worker, however the worker ends. Start the process
    with `start_new_session=True` or as a daemon, because a worker's process group always ends with it. The context
    applies to the whole process: processes that other threads start at the same time are detached, too. Outside a
    pool's worker it does nothing.
    """
    before = resource.getrlimit(_RLIMIT_LOCKS)[0] if IS_POSSIBLE else 0
    if not is_mark(before):
        yield
        return
    _set(None)
    try:
        yield
    finally:
        _set(before)


def _set(soft: int | None) -> None:
    """Set the soft limit; None resets it to the hard limit. A hard limit or a sandbox can prevent that silently."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
        resource.setrlimit(_RLIMIT_LOCKS, (hard if soft is None else soft, hard))
