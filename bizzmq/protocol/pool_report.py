"""The report of a pool: what it does at one moment, which its janitor stores with each heartbeat for people to read."""

from __future__ import annotations

import math
import platform
import sys
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from bizzmq.errors import DecodeError
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body

WORKING, PAUSED, DRAINING = "working", "paused", "draining"
POOL, CONSUMER = "pool", "consumer"
MOST_RUNNING = 100
"""The running messages that a report names: those that have run longest."""
_LONGEST_S = 1e9


class RunningMessage(NamedTuple):
    """A message that a worker is running.

    Attributes:
        worker, message_id: their ids.
        for_s: how long it has run, seconds.
        delivery: the number of this delivery, modulo 65536.
    """

    worker: str
    message_id: str
    for_s: float
    delivery: int


class PoolReport(NamedTuple):
    """What a pool, or an in-process consumer, does for one queue.

    Attributes:
        kind: `pool` or `consumer`.
        state: `working`, `paused` or `draining`.
        version, python: the versions of BizzMQ and Python.
        target: what the pool runs: `MODULE:CALLABLE`.
        code: the version of the code that it runs; "" if that is not known.
        workers: the number of its workers, on all of its queues.
        busy: how many of them run a message, of any queue.
        longest_s: how long the longest of these messages has run, seconds; 0 if none runs.
        beat_s, lease_s: the interval of its heartbeats, and the lease.
        closed_s: for how long it still claims nothing from this queue, after its workers could not use it; else 0.
        running: the messages of this queue that it runs.
        asked_on: the queue, or shard, on which it takes requests; "" if it takes none.
    """

    kind: str = POOL
    state: str = WORKING
    version: str = ""
    python: str = ""
    target: str = ""
    code: str = ""
    workers: int = 0
    busy: int = 0
    longest_s: float = 0.0
    beat_s: float = 3.0
    lease_s: float = 15.0
    closed_s: float = 0.0
    running: Tuple[RunningMessage, ...] = ()
    asked_on: str = ""

    def encode(self) -> bytes:
        """As it is stored."""
        longest = sorted(self.running, key=lambda one: -one.for_s)[:MOST_RUNNING]
        running = [[one.worker, one.message_id, round(one.for_s, 3), one.delivery] for one in longest]
        rounded = {"closed_s": round(self.closed_s, 3), "longest_s": round(self.longest_s, 3)}
        return json_codec.dumps({**self._asdict(), **rounded, "running": running})


def own_versions() -> dict[str, Any]:
    """The versions of this process, for its report."""
    package = sys.modules["bizzmq"]  # not imported: it imports everything that is above this module
    return {"version": getattr(package, "__version__", ""), "python": platform.python_version()}


def read_report(stored: Optional[bytes]) -> Optional[Tuple[int, PoolReport]]:
    """The time of a stored report, milliseconds by Redis's clock, and the report. None if it is unreadable."""
    stamp, _, data = (stored or b"").partition(b" ")
    if not stamp.isdigit() or len(stamp) > 16:
        return None
    try:
        fields = decode_body(data)
        return int(stamp), _of_fields(fields)
    except (DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _of_fields(fields: Any) -> PoolReport:
    given: dict[str, Any] = {
        name: str.__str__(fields[name]) for name in ("kind", "state", "version", "python", "target", "code")
    }
    given.update({name: _seconds(fields[name]) for name in ("beat_s", "lease_s", "closed_s", "longest_s")})
    given.update({name: _count(fields[name]) for name in ("workers", "busy")})
    running = tuple(_running(one) for one in fields["running"][:MOST_RUNNING])
    asked_on = str.__str__(fields.get("asked_on", ""))  # reports of earlier releases have none
    return PoolReport(**given, running=running, asked_on=asked_on)


def _running(one: Sequence[Any]) -> RunningMessage:
    worker, message_id, for_s, delivery = one
    return RunningMessage(str.__str__(worker), str.__str__(message_id), _seconds(for_s), _count(delivery))


def _seconds(value: Any) -> float:
    number = float(value)
    if isinstance(value, str) or not math.isfinite(number):
        raise ValueError(value)
    return min(max(0.0, number), _LONGEST_S)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise ValueError(value)
    return value
