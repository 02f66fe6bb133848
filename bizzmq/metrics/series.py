"""What the history of a queue says: series of steps, of the whole queue and of each of its tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from bizzmq.metrics.columns import BOUNDS_S, CAUSES, CPU, DEATHS, MEMORY, OUTCOMES, RANGES, RUN, WAIT
from bizzmq.metrics.steps import Cells

_LOWS_S = (0.0, *BOUNDS_S)
_WIDTHS_S = tuple(high_s - low_s for low_s, high_s in zip(_LOWS_S, (*BOUNDS_S, 2 * BOUNDS_S[-1])))
_FAILURES = ("retried", "dead_lettered", "discarded", "crashed", "killed")


@dataclass(frozen=True)
class Latency:
    """How long something took, as a histogram.

    Attributes:
        sum_s: all times together, seconds.
        counts: how many times were in each range. The upper bounds of the ranges are `Latency.BOUNDS_S`, seconds; the
            last range has none.
    """

    BOUNDS_S = BOUNDS_S
    sum_s: float = 0.0
    counts: Tuple[int, ...] = (0,) * RANGES

    @property
    def count(self) -> int:
        """How many times there are."""
        return sum(self.counts)

    @property
    def mean_s(self) -> Optional[float]:
        """The mean, seconds; None if there are no times."""
        count = self.count
        return self.sum_s / count if count else None

    def quantile_s(self, share: float) -> Optional[float]:
        """The time below which this share of the times is, such as 0.95, seconds; None if there are no times.

        Within a range, times count as evenly spread. A range ends where the sum ends: if one time of 5.1 s is the
        only long one, no quantile is above it.
        """
        count = self.count
        if not count:
            return None
        rank, below = share * count, 0
        above_bounds_s = max(0.0, self.sum_s - sum(number * low_s for number, low_s in zip(self.counts, _LOWS_S)))
        for index, here in enumerate(self.counts):
            if here and below + here >= rank:
                width_s = min(_WIDTHS_S[index], above_bounds_s)
                return _LOWS_S[index] + width_s * max(0.0, (rank - below) / here)
            below += here
        return BOUNDS_S[-1]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: count, mean, and the quantiles 0.5, 0.95 and 0.99."""
        return {
            "count": self.count, "mean_s": _rounded(self.mean_s), "p50_s": _rounded(self.quantile_s(0.5)),
            "p95_s": _rounded(self.quantile_s(0.95)), "p99_s": _rounded(self.quantile_s(0.99)),
        }  # fmt: skip


@dataclass(frozen=True)
class Measures:
    """What workers have measured in one step, of a queue or of one task.

    Attributes:
        begins_s: when the step begins, seconds since the epoch by Redis's clock.
        lasts_s: its length, seconds.
        outcomes: how many attempts ended so: `succeeded`, `retried`, `dead_lettered`, `discarded`, `cancelled`,
            `released` (back without blame), `crashed` (its worker died), `killed` (its worker was killed for a limit).
        deaths: how many workers have died, by cause.
        run: how long handlers ran.
        wait: how long messages waited for their first delivery; a delay is part of it.
        cpu_s: processor time of the handlers, seconds.
        memory_peak_bytes: the highest memory peak of a worker that grew while one of these messages ran; None if none
            grew.
    """

    begins_s: int
    lasts_s: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    deaths: Mapping[str, int] = field(default_factory=dict)
    run: Latency = Latency()
    wait: Latency = Latency()
    cpu_s: float = 0.0
    memory_peak_bytes: Optional[int] = None

    @property
    def handled(self) -> int:
        """All attempts that have ended, without those that were released."""
        return sum(self.outcomes.values()) - self.outcomes.get("released", 0)

    @property
    def succeeded(self) -> int:
        """The attempts that have succeeded."""
        return self.outcomes.get("succeeded", 0)

    @property
    def failed(self) -> int:
        """The attempts that have failed: retried, dead-lettered, discarded, crashed or killed."""
        return sum(self.outcomes.get(name, 0) for name in _FAILURES)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "begins_s": self.begins_s, "lasts_s": self.lasts_s, "handled": self.handled, "succeeded": self.succeeded,
            "failed": self.failed, "outcomes": dict(self.outcomes), "deaths": dict(self.deaths),
            "run": self.run.as_dict(), "wait": self.wait.as_dict(), "cpu_s": round(self.cpu_s, 6),
            "memory_peak_bytes": self.memory_peak_bytes,
        }  # fmt: skip


@dataclass(frozen=True)
class QueueState:
    """A queue at the end of a step.

    Attributes:
        waiting, delayed, processing, dead_lettered: how many messages are in these states.
        oldest_waiting_s: the highest age of the oldest waiting message within the step, seconds; 0 if none waited.
    """

    waiting: int
    delayed: int
    processing: int
    dead_lettered: int
    oldest_waiting_s: float


@dataclass(frozen=True)
class QueueStep:
    """One step of a queue.

    Attributes:
        measures: what workers have measured, of all tasks together.
        totals: how many messages were `published`, `replayed`, `acked`, `discarded`, `dead_lettered`, `retried`,
            `cancelled`, `expired` and `dropped` in the step, as Redis has counted them. Empty if no pool was there to
            look.
        state: None if no pool was there to look.
    """

    measures: Measures
    totals: Mapping[str, int] = field(default_factory=dict)
    state: Optional[QueueState] = None

    @property
    def begins_s(self) -> int:
        """When the step begins, seconds since the epoch by Redis's clock."""
        return self.measures.begins_s

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        state = None if self.state is None else dict(vars(self.state))
        return {**self.measures.as_dict(), "totals": dict(self.totals), "state": state}


@dataclass(frozen=True)
class Deploy:
    """Pools that were started with another version of the code than those before them.

    Attributes:
        at_s: when the first of them was started, seconds since the epoch by Redis's clock.
        code: the version of the code; "" if it is not known.
        version: the version of BizzMQ.
        target: what they run.
        pools: how many were started until another version followed.
    """

    at_s: float
    code: str
    version: str
    target: str
    pools: int


@dataclass(frozen=True)
class QueueMetrics:
    """The history of a queue.

    Attributes:
        queue: its name.
        step_s: the length of a step, seconds.
        steps: all steps of the time that was asked for, oldest first, also those in which nothing happened. The last
            one has not ended.
        tasks: by name of the task, its steps in which something happened; "" for plain messages, `other` for the tasks
            beyond the first 100. A queue with many busy tasks has fewer and longer steps here.
        deploys: oldest first.
        keys: as `tasks`, by key of the messages; `other` for the keys beyond the first 100. Messages without a key are
            in none of them.
    """

    queue: str
    step_s: int
    steps: Tuple[QueueStep, ...]
    tasks: Mapping[str, Tuple[Measures, ...]]
    deploys: Tuple[Deploy, ...] = ()
    keys: Mapping[str, Tuple[Measures, ...]] = field(default_factory=dict)

    @property
    def total(self) -> Measures:
        """The whole time as one step."""
        return sum_of([step.measures for step in self.steps])

    def total_of(self, task: str) -> Measures:
        """The whole time of one task as one step."""
        return sum_of(self.tasks.get(task, ()))

    def total_of_key(self, key: str) -> Measures:
        """The whole time of all messages with a key as one step."""
        return sum_of(self.keys.get(key, ()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "queue": self.queue, "step_s": self.step_s, "steps": [step.as_dict() for step in self.steps],
            "tasks": {task: [one.as_dict() for one in steps] for task, steps in self.tasks.items()},
            "keys": {key: [one.as_dict() for one in steps] for key, steps in self.keys.items()},
            "deploys": [dict(vars(deploy)) for deploy in self.deploys],
        }  # fmt: skip


def measures_of(cells: Cells, begins_s: int, lasts_s: int) -> Measures:
    """The measures of a row of a history."""
    return Measures(
        begins_s, lasts_s,
        {name: cells[index] for index, name in enumerate(OUTCOMES) if cells.get(index)},
        {name: cells[DEATHS + index] for index, name in enumerate(CAUSES) if cells.get(DEATHS + index)},
        _latency(cells, RUN), _latency(cells, WAIT), cells.get(CPU, 0) / 1e6,
        cells[MEMORY] * 1024 if cells.get(MEMORY) else None,
    )  # fmt: skip


def _latency(cells: Cells, at: int) -> Latency:
    return Latency(cells.get(at, 0) / 1e6, tuple(cells.get(at + 1 + index, 0) for index in range(RANGES)))


def sum_of(parts: Sequence[Measures]) -> Measures:
    """Several steps as one."""
    if not parts:
        return Measures(0, 0)
    begins_s = min(part.begins_s for part in parts)
    peaks = [part.memory_peak_bytes for part in parts if part.memory_peak_bytes is not None]
    return Measures(
        begins_s, max(part.begins_s + part.lasts_s for part in parts) - begins_s,
        _sum([part.outcomes for part in parts]), _sum([part.deaths for part in parts]),
        _sum_latency([part.run for part in parts]), _sum_latency([part.wait for part in parts]),
        sum(part.cpu_s for part in parts), max(peaks, default=None),
    )  # fmt: skip


def _sum(counts: Sequence[Mapping[str, int]]) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            found[name] = found.get(name, 0) + count
    return found


def _sum_latency(parts: Sequence[Latency]) -> Latency:
    return Latency(sum(part.sum_s for part in parts), tuple(map(sum, zip(*(part.counts for part in parts)))))


def _rounded(seconds: Optional[float]) -> Optional[float]:
    return None if seconds is None else round(seconds, 6)
