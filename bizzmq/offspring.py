"""What a handler starts, marked as its worker's: so it ends with the worker, whatever it does to hide.

The mark is a number in the soft value of RLIMIT_LOCKS, a resource limit that Linux has not enforced since 2.4.25. All
that a process starts inherits it, through fork, exec, setsid, a daemon's double fork and a cleared environment, and
every process shows it in /proc. See docs/adr/0056-marked-descendants.md.
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
    """The mark of a worker's id: 48 bits of its hash above a bit that tells a mark from a limit."""
    return _FIRST + int.from_bytes(hashlib.sha256(worker.encode("utf-8")).digest()[:6], "big")


def is_mark(limit: int) -> bool:
    """Whether a limit is some worker's mark."""
    return _FIRST <= limit < 2 * _FIRST


def mark(worker: str) -> None:
    """From now on this process and all that it starts belong to this worker. Where that cannot be, nothing happens."""
    if IS_POSSIBLE:
        _set(mark_of(worker))


def read_mark(pid: int) -> int:
    """The mark that a process carries; 0 if it carries none, or is gone."""
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
    """What a handler starts inside this block, in a session of its own, outlives its worker.

    Everything else that a handler starts is ended with its worker, however that ends. Start the process with
    `start_new_session=True` (or as a daemon): a worker's process group always ends with it. The block is for the whole
    process: what other threads start meanwhile is detached, too. Outside of a pool's worker it does nothing.
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
    """Set the soft limit, or put it back to the hard one. Fails only where a hard limit forbids, or a sandbox."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
        resource.setrlimit(_RLIMIT_LOCKS, (hard if soft is None else soft, hard))
