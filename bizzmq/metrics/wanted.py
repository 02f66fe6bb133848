"""How many workers a queue needs: from the run time of what waits, and of what has run lately."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Operation
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.protocol.keys import QueueKeys

GOAL_S, RUN_S = 30.0, 1.0
"""The defaults: what waits now is begun within the goal; the run time of a message while no history says it."""
WINDOW_S = 300
_DAY_S = 86_400
_ALMOST = 1e-9


class RunTimes(NamedTuple):
    """What the history of a queue says of run times.

    Attributes:
        load: how many workers were busy on average in the last five minutes.
        mean_s: the mean run time in that time, or else within a day, seconds; 0 if nothing has run.
    """

    load: float = 0.0
    mean_s: float = 0.0


def read_run_times(k: QueueKeys) -> Operation[RunTimes]:
    """The run times of a queue, over all its shards. Raises QueueNotFoundError, DecodeError."""
    metrics = yield from read_metrics(k, checked_window(WINDOW_S, None))
    recent = metrics.total.run
    if recent.count:
        return RunTimes(recent.sum_s / WINDOW_S, recent.mean_s or 0.0)
    metrics = yield from read_metrics(k, checked_window(_DAY_S, 3600))
    return RunTimes(0.0, metrics.total.run.mean_s or 0.0)


@dataclass(frozen=True)
class QueueNeed:
    """What a queue needs.

    Attributes:
        queue: its name.
        waiting, delayed, processing: how many messages are in these states.
        run_s: the run time of a message that is reckoned with, seconds.
        is_measured: whether that is measured; otherwise it is the assumed one.
        load: how many workers were busy on average in the last five minutes.
        workers: how many workers it needs, with a fraction.
    """

    queue: str
    waiting: int
    delayed: int
    processing: int
    run_s: float
    is_measured: bool
    load: float
    workers: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "run_s": round(self.run_s, 6), "load": round(self.load, 3),
                "workers": round(self.workers, 3)}  # fmt: skip


def need_of(
    queue: str, waiting: int, delayed: int, processing: int, runs: RunTimes, *,
    goal_s: float = GOAL_S, assumed_run_s: float = RUN_S,
) -> QueueNeed:  # fmt: skip
    """How many workers a queue needs.

    A worker begins `goal_s / run_s` messages within the goal, and at least one. What runs now needs its workers, and so
    does the load of the last minutes, since as much comes again. A worker promotes what is delayed, so one is needed.
    """
    run_s = runs.mean_s or assumed_run_s
    share = min(1.0, run_s / goal_s)
    workers = max(runs.load, processing * share) + waiting * share
    if delayed:
        workers = max(workers, 1.0)
    return QueueNeed(queue, waiting, delayed, processing, run_s, bool(runs.mean_s), runs.load, workers)


def wanted(needs: Sequence[QueueNeed], workers_per_pool: int = 1) -> dict[str, Any]:
    """The number of workers and of pools for these queues together, and how it is made; for JSON."""
    workers = math.ceil(sum(need.workers for need in needs) - _ALMOST)
    return {
        "wanted_workers": workers, "wanted_pools": math.ceil(workers / workers_per_pool),
        "workers_per_pool": workers_per_pool, "queues": [need.as_dict() for need in needs],
    }  # fmt: skip
