"""`bizzmq metrics`: what has happened on a queue over time, or by task, or by key."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping, Optional, Sequence

import click

from bizzmq.broker.broker import open_broker
from bizzmq.cli.helpers import Duration
from bizzmq.cli.tables import show_folded, table
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import Deploy, Measures, QueueMetrics, QueueStep, sum_of
from bizzmq.utils.standard_streams import show
from bizzmq.utils.wording import counted, utc

_MOST_LINES = 40
_STEPS_S = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MEASURED = ("handled", "failed", "wait p50", "wait p95", "run p50", "run p95", "cpu")
_BY_TIME = ("from (UTC)", *_MEASURED, "waiting", "oldest")
_OPTIONAL = ("wait p50", "run p50", "oldest", "waiting", "memory", "wait p95")
_NO_TASK = "(plain)"


@click.command()
@click.argument("queue")
@click.option("--last", "last_s", type=Duration(min=10, max=30 * 86_400), default="1h", show_default=True,
              metavar="TIME", help="How far back: 10m, 3h, 2d, up to 30d.")  # fmt: skip
@click.option("--step", "step_s", type=Duration(min=10), metavar="TIME",
              help="The length of a line: a multiple of 10s within an hour, of 1m within two days, else of 1h. "
                   "Without it, one with which there are about 40 lines.")  # fmt: skip
@click.option("--by", type=click.Choice(["time", "task", "key"]), default="time", show_default=True,
              help="A line for each step, or for each task or key over the whole time, costliest first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with all of it.")
@click.pass_obj
def metrics(redis_url: str, queue: str, last_s: float, step_s: Optional[float], by: str, as_json: bool) -> None:
    """Show what has happened on a queue: attempts, failures, times, processor time, starts of other code, and deaths.

    Pools write it every ten seconds. Times are UTC, by Redis's clock. wait is from the publish to the first delivery,
    p95 the time below which 95 of 100 were, cpu processor time.
    """
    window = checked_window(last_s, _step_s(last_s) if step_s is None else step_s)
    with open_broker(redis_url) as broker:
        found = broker.perform(read_metrics(broker.keys(queue), window))
    if as_json:
        show(json.dumps(found.as_dict()))
    elif by == "time":
        _show_steps(found)
    else:
        _show_costs(by, found.tasks if by == "task" else found.keys)


def _step_s(last_s: float) -> int:
    """The shortest step of which few fill this time, and which the history has."""
    least_s = 10 if last_s <= 3600 else 60 if last_s <= 2 * 86_400 else 3600
    return next(one for one in _STEPS_S if one >= least_s and (last_s / one <= _MOST_LINES or one == _STEPS_S[-1]))


def _show_steps(found: QueueMetrics) -> None:
    known = [step for step in found.steps if step.state is not None or step.measures.handled]
    table([_row_of_step(step) for step in known], _BY_TIME, optional=_OPTIONAL)
    if len(known) < len(found.steps):
        show_folded(f"{counted(len(found.steps) - len(known), 'step')} left out: no pool was there, and nothing ran")
    for deploy in found.deploys:
        show_folded(_deploy_line(deploy))
    deaths = [
        f"{cause} {count}{f' in {task}' if task else ''}"
        for task in sorted(found.tasks)
        for cause, count in found.total_of(task).deaths.items()
    ]
    if deaths:
        show_folded(f"workers died: {', '.join(deaths)}")


def _row_of_step(step: QueueStep) -> list[Any]:
    state = step.state
    waiting, oldest = ("", "") if state is None else (f"{state.waiting:,}", _short(state.oldest_waiting_s))
    return [utc(step.begins_s)[:-1].replace("T", " "), *_cells(step.measures), waiting, oldest]


def _deploy_line(deploy: Deploy) -> str:
    code = f"code {deploy.code}" if deploy.code else "code of an unknown version"
    return f"{utc(deploy.at_s)}: {deploy.target or 'a handler'} was started with {code}, bizzmq {deploy.version}"


def _show_costs(by: str, rows: Mapping[str, Sequence[Measures]]) -> None:
    totals = {name: sum_of(steps) for name, steps in rows.items()}
    if not totals:
        show(
            f"no message with a {by} was handled in this time" if by == "key" else "no message was handled in this time"
        )
        return
    all_cpu_s = sum(one.cpu_s for one in totals.values())
    lines = [
        [name or _NO_TASK, *_cells(one), f"{one.cpu_s / all_cpu_s:.0%}" if all_cpu_s else "", _memory(one)]
        for name, one in sorted(totals.items(), key=lambda item: -item[1].cpu_s)
    ]
    table(lines, (by, *_MEASURED, "of cpu", "memory"), optional=_OPTIONAL, cut={by: 16})


def _cells(one: Measures) -> Iterator[Any]:
    yield one.handled
    yield one.failed
    for latency in (one.wait, one.run):
        for share in (0.5, 0.95):
            quantile_s = latency.quantile_s(share)
            yield "" if quantile_s is None else _short(quantile_s)
    yield _short(one.cpu_s) if one.handled else ""


def _short(seconds: float) -> str:
    """A time in one unit: `850 us`, `12.5 ms`, `3.21 s`, `5.3 min`, `2.1 h`."""
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1, 1e3, "ms"), (100, 1, "s"), (6000, 1 / 60, "min")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds / 3600:,.1f} h"


def _memory(one: Measures) -> str:
    return "" if one.memory_peak_bytes is None else f"{one.memory_peak_bytes / 2**20:,.0f} MiB"
