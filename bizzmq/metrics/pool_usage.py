"""What a pool uses: its memory, processors and workers over the last hour, as its janitor notes them for people.

The pool has steps of ten seconds, its slots have steps of a minute. They are two fields of the history of the pool's
first queue, which the pool writes anew with each of its reports, and which go with it. With at most MOST_POOLS pools on
a queue they take less than 1 MB.
"""

from __future__ import annotations

import zlib
from itertools import accumulate
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar

from bizzmq.broker.operations import Operation, command
from bizzmq.errors import DecodeError
from bizzmq.metrics.deploys import deploys_of
from bizzmq.metrics.history import DEPLOY, SLOTS, USAGE
from bizzmq.metrics.series import Deploy
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.keys import QueueKeys

STEP_S, SLOT_STEP_S, KEPT_S = 10, 60, 3600
MOST_POOLS, MOST_SLOTS = 80, 32
POOL_BYTES, SLOTS_BYTES = 5000, 7000
"""The most that the two fields of a pool take."""
_MOST_DECODED, _LARGEST = 512 * 1024, 2**53
T = TypeVar("T", "UsageStep", "SlotStep")


class UsageStep(NamedTuple):
    """A pool in one step. Processors and busy workers are means, in thousandths.

    Attributes:
        memory_kb: the resident memory of its workers. Memory that they share counts once for each of them.
        cpu_milli: how many processors its workers used.
        busy_milli: how many workers ran a message.
        workers: how many it had.
    """

    memory_kb: int
    cpu_milli: int
    busy_milli: int
    workers: int


class SlotStep(NamedTuple):
    """The worker of a slot in one step: its highest resident memory, and how much of a processor it used."""

    memory_kb: int
    cpu_milli: int


class PoolUsage:
    """The last hour of a pool.

    Attributes:
        steps: by their number since the epoch, by Redis's clock.
        slots: by the number of the slot, the first MOST_SLOTS ones; each by the number of the step.
    """

    def __init__(
        self, steps: Optional[Dict[int, UsageStep]] = None, slots: Optional[Dict[int, Dict[int, SlotStep]]] = None
    ) -> None:
        self.steps, self.slots = steps or {}, slots or {}

    def add(self, at_s: float, step: UsageStep, slots: Mapping[int, SlotStep]) -> None:
        """Add what was measured at a time, and forget what is older than an hour."""
        number = int(at_s) // STEP_S
        self.steps[number] = step
        self.steps = _kept(self.steps, number, KEPT_S // STEP_S)
        minute = int(at_s) // SLOT_STEP_S
        for slot, measured in slots.items():
            if slot < MOST_SLOTS:
                known = self.slots.setdefault(slot, {})
                before = known.get(minute, measured)
                mean = (before.cpu_milli + measured.cpu_milli) // 2
                known[minute] = SlotStep(max(before.memory_kb, measured.memory_kb), mean)
        kept = {slot: _kept(steps, minute, KEPT_S // SLOT_STEP_S) for slot, steps in self.slots.items()}
        self.slots = {slot: steps for slot, steps in kept.items() if steps}

    def encode(self) -> Tuple[bytes, bytes]:
        """The fields of the pool and of its slots. The oldest steps and the last slots are left out if they must be."""
        steps, slots = dict(self.steps), dict(sorted(self.slots.items()))
        whole = _packed(_columns(steps))
        while len(whole) > POOL_BYTES:
            steps = _kept(steps, max(steps), len(steps) // 2)
            whole = _packed(_columns(steps))
        parts = _packed({str(slot): _columns(one) for slot, one in slots.items()})
        while len(parts) > SLOTS_BYTES:
            slots = dict(list(slots.items())[: len(slots) // 2])
            parts = _packed({str(slot): _columns(one) for slot, one in slots.items()})
        return whole, parts


def decode(whole: Optional[bytes], parts: Optional[bytes] = None) -> PoolUsage:
    """What `encode` has made. What is missing or unreadable is left out."""
    try:
        steps = _steps(_unpacked(whole), UsageStep) if whole else {}
        of_slots: Any = _unpacked(parts) if parts else {}
        slots = {int(slot): _steps(one, SlotStep) for slot, one in list(of_slots.items())[:MOST_SLOTS]}
    except (DecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return PoolUsage()
    return PoolUsage(steps, slots)


def _kept(steps: Dict[int, T], last: int, count: int) -> Dict[int, T]:
    """The last steps, without those of a time to come, which only a clock that was set back explains."""
    return {number: step for number, step in steps.items() if last - count < number <= last}


def _columns(steps: Mapping[int, Sequence[int]]) -> List[List[int]]:
    """The steps as columns. The first one has the distances between their numbers."""
    numbers = sorted(steps)
    distances = [number - before for number, before in zip(numbers, [0, *numbers])]
    return [distances, *map(list, zip(*(steps[number] for number in numbers)))]


def _steps(columns: Any, kind: Type[T]) -> Dict[int, T]:
    for column in columns:  # each as a whole: a page reads a hundred pools
        if column and (set(map(type, column)) != {int} or not 0 <= min(column) <= max(column) < _LARGEST):
            raise ValueError(column)
    distances, *values = columns
    if len(values) != len(kind._fields) and distances:
        raise ValueError(columns)
    return dict(zip(accumulate(distances), map(kind._make, zip(*values))))


def _packed(value: Any) -> bytes:
    return zlib.compress(json_codec.dumps(value), 6)


def _unpacked(stored: bytes) -> Any:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stored, _MOST_DECODED)
    except zlib.error as error:
        raise DecodeError(f"a stored usage is unreadable: {error}") from error
    return decode_body(data)


class PoolsOfQueue(NamedTuple):
    """What the history of a queue says of the pools whose first queue it is.

    Attributes:
        usages: by supervisor id, of those that have noted something.
        deploys: oldest first.
    """

    usages: Mapping[str, PoolUsage]
    deploys: Sequence[Deploy]


def read_usages(k: QueueKeys, pools: Sequence[str], begins_s: int) -> Operation[PoolsOfQueue]:
    """The usages of pools, and the deploys since a time, from the queue on which they take requests."""
    names = yield command("HKEYS", k.metrics)
    deploys = [name for name in names if name.startswith(DEPLOY)]
    wanted = [*(USAGE + name.encode() for name in pools), *deploys]
    values = (yield command("HMGET", k.metrics, *wanted)) if wanted else []
    usages = {name: decode(value) for name, value in zip(pools, values) if value is not None}
    starts = {name: value for name, value in zip(deploys, values[len(pools) :]) if value is not None}
    return PoolsOfQueue(usages, deploys_of(starts, begins_s))


def read_usage(k: QueueKeys, pool: str) -> Operation[PoolUsage]:
    """The usage of a pool and of its slots; an empty one if it has noted none."""
    name = pool.encode()
    whole, parts = yield command("HMGET", k.metrics, USAGE + name, SLOTS + name)
    return decode(whole, parts)
