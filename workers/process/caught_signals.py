"""Whether a process has a handler for a signal that would end it otherwise."""

from __future__ import annotations

from pathlib import Path

_MASK = b"\nSigCgt:\t"


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for this signal. True if the system does not tell: only Linux does."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return True
    _, found, rest = status.partition(_MASK)
    return not found or bool(int(rest[:16], 16) >> (number - 1) & 1)
