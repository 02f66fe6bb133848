"""The charts of a queue: what was handled and failed, how old what waits was, how many workers were busy, latencies."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.metrics.series import Deploy, Measures, QueueMetrics, QueueStep, sum_of
from bizzmq.web.charts.paths import Numbers, area, line
from bizzmq.web.rendering import brief

SHARES = (0.5, 0.95, 0.99)
_ROWS = 12
"""The rows of the table that says the same as the charts."""
_MOST_TASKS = 30
_MOST_DEPLOYS = 20


class Range(NamedTuple):
    """A time that charts can show: its name, how far back it reaches, and the length of its steps in seconds."""

    name: str
    words: str
    last_s: int
    step_s: int
    is_kept_s: float


RANGES: Mapping[str, Range] = {
    one.name: one
    for one in (
        Range("1h", "Last hour", 3600, 60, 2.0),
        Range("1d", "Last day", 86_400, 900, 30.0),
        Range("30d", "Last 30 days", 30 * 86_400, 21_600, 300.0),
    )
}


class Series(NamedTuple):
    """One path of a chart: its name, its class in the style sheet, and its path."""

    name: str
    kind: str
    path: str


class Chart(NamedTuple):
    """What a template needs to draw a chart, and to say it in words.

    Attributes:
        title: what it shows.
        words: the same in words.
        series: what is drawn, from back to front.
        width: the number of steps, the last of which has not ended.
        marks: the places of deploys, from the left.
    """

    title: str
    words: str
    series: Tuple[Series, ...]
    width: int
    marks: Tuple[float, ...]


class TaskRow(NamedTuple):
    """What a task, or messages with a key, have done. The processor time is the mean of an attempt, seconds."""

    name: str
    total: Measures
    run: List[Optional[float]]
    cpu_mean_s: Optional[float]


class QueueCharts(NamedTuple):
    """All charts of a queue.

    Attributes:
        total: the whole time as one step.
        most: how many attempts the highest step has.
        run, wait: the quantiles of SHARES of the times of handlers and of waiting, seconds; None without any.
        rows: the steps of the table: the step, its quantiles of run times, the mean number of busy workers, and the
            highest age of what waited.
        tasks, keys: the busiest first.
        deploys: newest first.
    """

    range: Range
    total: Measures
    most: int
    run: List[Optional[float]]
    wait: List[Optional[float]]
    charts: List[Chart]
    rows: List[Dict[str, Any]]
    tasks: List[TaskRow]
    keys: List[TaskRow]
    deploys: Sequence[Deploy]


async def read_charts(client: AsyncBizzMQ, queue: str, shown: Range) -> Optional[QueueCharts]:
    """The charts of a queue; None if nothing was handled, or if this user of Redis may not read them."""
    try:
        found = await client.metrics(queue, last_s=shown.last_s, step_s=shown.step_s)
    except CommandRefusedError:
        return None
    return charts_of(found, shown)


def charts_of(found: QueueMetrics, shown: Range) -> Optional[QueueCharts]:
    """The charts of a history; None if nothing was handled or waited in it."""
    total = found.total
    if not total.handled and not any(step.state and step.state.oldest_waiting_s for step in found.steps):
        return None
    most = max(one.measures.succeeded + one.measures.failed for one in found.steps)
    return QueueCharts(
        shown, total, most, quantiles(total), [total.wait.quantile_s(share) for share in SHARES],
        _charts(found, shown, most), _rows(found.steps),
        _totals({name: found.total_of(name) for name in found.tasks}),
        _totals({key: found.total_of_key(key) for key in found.keys}), found.deploys[::-1][:_MOST_DEPLOYS],
    )  # fmt: skip


def quantiles(one: Measures) -> List[Optional[float]]:
    """The quantiles of SHARES of the times of handlers."""
    return [one.run.quantile_s(share) for share in SHARES]


def _charts(found: QueueMetrics, shown: Range, most: int) -> List[Chart]:
    steps, width = [step.measures for step in found.steps], len(found.steps)
    begins_s = found.steps[0].begins_s
    marks = tuple(round((one.at_s - begins_s) / found.step_s, 2) for one in found.deploys if one.at_s >= begins_s)
    ages: Numbers = [step.state.oldest_waiting_s if step.state else None for step in found.steps]
    busy = [busy_workers(one) for one in steps]
    latencies = [[one.run.quantile_s(share) for one in steps] for share in SHARES]
    slowest = most_of(latencies[-1])
    handled: Numbers = [float(one.succeeded + one.failed) for one in steps]
    failed: Numbers = [float(one.failed) for one in steps]
    names = ("half", "95 %", "99 %")
    return [
        Chart(
            "Attempts", f"at most {most:,} in {_step(shown)}",
            (Series("succeeded", "level", area(handled, most)), Series("failed", "failed", area(failed, most))),
            width, marks,
        ),
        Chart(
            "Oldest waiting", f"at most {brief(most_of(ages))}", (Series("age", "level", area(ages, most_of(ages))),),
            width, marks,
        ),
        Chart(
            "Busy workers", f"at most {_few(most_of(busy))} in the mean of {_step(shown)}",
            (Series("busy", "level", area(busy, most_of(busy))),), width, marks,
        ),
        Chart(
            "Run time", f"99 % within {brief(slowest)} at most",
            tuple(
                Series(name, f"q{index}", line(numbers, slowest))
                for index, (name, numbers) in enumerate(zip(names, latencies))
            ),
            width, marks,
        ),
    ]  # fmt: skip


def busy_workers(one: Measures) -> float:
    """How many workers ran handlers in the mean. An attempt counts as a whole in the step in which it has ended."""
    return one.run.sum_s / one.lasts_s if one.lasts_s else 0.0


def _few(number: float) -> str:
    return "<0.1" if 0 < number < 0.1 else f"{number:.1f}"


def most_of(numbers: Numbers) -> float:
    """The highest number; 0 without any."""
    return max((number for number in numbers if number is not None), default=0.0)


def _rows(steps: Sequence[QueueStep]) -> List[Dict[str, Any]]:
    size = -(-len(steps) // _ROWS)
    found = []
    for first in range(0, len(steps), size):
        some = steps[first : first + size]
        one = sum_of([step.measures for step in some])
        ages = [step.state.oldest_waiting_s for step in some if step.state]
        found.append(
            {"step": one, "run": quantiles(one), "busy": busy_workers(one), "oldest_s": max(ages, default=None)}
        )
    return found[::-1]


def _totals(of: Mapping[str, Measures]) -> List[TaskRow]:
    totals = sorted(of.items(), key=lambda one: (-one[1].run.sum_s, one[0]))
    return [
        TaskRow(name, one, quantiles(one), one.cpu_s / one.handled if one.handled else None)
        for name, one in totals[:_MOST_TASKS]
    ]


def _step(shown: Range) -> str:
    return {60: "a minute", 900: "15 minutes", 21_600: "6 hours"}[shown.step_s]
