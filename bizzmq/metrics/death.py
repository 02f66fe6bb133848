"""Counts the death of a worker in its table. The supervisor does it, while the slot has no worker."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from bizzmq.metrics.columns import BOUNDS_S, CAUSES, DEATHS, MEMORY, OUTCOMES, RUN
from bizzmq.metrics.table import MetricsTable


class Death(NamedTuple):
    """The death of a worker.

    Attributes:
        cause: one of CAUSES.
        outcome: how the attempt that it ran ended, one of OUTCOMES; "" if it ran none.
        queue: the index of that message's queue.
        task: the end of the name of its task.
        ran_s: how long it had run, seconds.
        peak_bytes: the memory peak of the process.
    """

    cause: str
    outcome: str
    queue: int
    task: str
    ran_s: float
    peak_bytes: int


def count_death(table: MetricsTable, death: Death) -> None:
    """Count a death, and the attempt that the worker ran."""
    if not death.outcome:
        table.cells[table.row(0, "") + DEATHS + CAUSES.index(death.cause)] += 1
        return
    at, cells = table.row(death.queue, _whole_name(table, death)), table.cells
    cells[at + DEATHS + CAUSES.index(death.cause)] += 1
    cells[at + OUTCOMES.index(death.outcome)] += 1
    cells[at + RUN] += death.ran_s
    cells[at + RUN + 1 + bisect_left(BOUNDS_S, death.ran_s)] += 1
    cells[at + MEMORY] = max(cells[at + MEMORY], float(death.peak_bytes))


def _whole_name(table: MetricsTable, death: Death) -> str:
    """The name of the task, of which the scoreboard has the end only."""
    if not death.task:
        return ""
    known = (row.task for row in table.rows() if row.queue == death.queue and row.task.endswith(death.task))
    return next(known, death.task)
