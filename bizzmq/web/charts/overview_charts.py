"""The charts of all queues together: the last 15 minutes by the minute."""

from __future__ import annotations

from typing import List, Sequence

from bizzmq.admin.activity.rates import MINUTES
from bizzmq.admin.queue_row import QueueRow, highest_of
from bizzmq.metrics.series import Deploy
from bizzmq.web.charts.paths import Numbers, area
from bizzmq.web.charts.pool_usages import Usages, use_of_minutes
from bizzmq.web.charts.queue_charts import Chart, Series, most_of
from bizzmq.web.charts.sparklines import added
from bizzmq.web.rendering import span

_MINUTE_S = 60


def charts_of_all(rows: Sequence[QueueRow], usages: Usages, now_s: float) -> List[Chart]:
    """What was done and failed, how old what waited was, and which share of the workers was busy. Empty without any."""
    marks = tuple(round(MINUTES - (now_s - one.at_s) / _MINUTE_S, 2) for one in recent_deploys(usages, now_s))
    minutes = added([row.minutes for row in rows])
    known = [rate for rate in minutes if rate is not None]
    done: Numbers = [max(rate.outgoing, rate.failed) if rate else 0.0 for rate in minutes]
    failed: Numbers = [rate.failed if rate else 0.0 for rate in minutes]
    ages = highest_of([row.ages for row in rows])
    use = use_of_minutes(usages.pools.values(), now_s, MINUTES)
    most, oldest_s = most_of(done), most_of(ages)
    charts: List[Chart] = []
    if most:
        words = (f"last {len(known)} minutes" if len(known) > 1 else "last minute") + (
            f": {sum(rate.outgoing for rate in known):,.0f} done, {sum(rate.failed for rate in known):,.0f} attempts "
            f"failed; at most {most:,.0f} in a minute"
        )
        series = Series("done", "level", area(done, most)), Series("failed", "failed", area(failed, most))
        charts.append(Chart("All queues", words, series, len(done), marks))
    if oldest_s:
        words = f"at most {span(oldest_s)} in any queue"
        charts.append(Chart("Oldest waiting", words, (Series("age", "level", area(ages, oldest_s)),), len(ages), marks))
    if any(share is not None for share in use):
        words = f"at most {100 * most_of(use):.0f} % of the workers of pools busy"
        charts.append(Chart("Worker use", words, (Series("busy", "level", area(use, 1.0)),), len(use), marks))
    return charts


def recent_deploys(usages: Usages, now_s: float) -> List[Deploy]:
    """The deploys of the time that the charts show, oldest first."""
    return [one for one in usages.deploys if 0 <= now_s - one.at_s <= MINUTES * _MINUTE_S]
