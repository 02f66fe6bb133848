"""Numbers in sentences: times, lengths of time, and counts with their nouns."""

from __future__ import annotations

import time

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """A length of time, in its two largest units from a minute on: `0.4 s`, `12 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{max(0.0, seconds):.1f} s"
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def counted(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 worker`, `1,200 workers`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def utc(seconds: float) -> str:
    """A time since the epoch, UTC: `2026-01-02T03:04:05Z`, as in error records; the number if no calendar has it."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
