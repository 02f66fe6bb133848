"""`bizzmq stats`: the counts of a queue."""

from __future__ import annotations

import json

import click

from bizzmq.admin import stats as queue_stats
from bizzmq.admin.activity.queue_activity import QueueActivity
from bizzmq.admin.activity.rates import Rate
from bizzmq.broker.broker import open_broker
from bizzmq.cli.tables import show_folded
from bizzmq.utils.standard_streams import show
from bizzmq.utils.wording import span


@click.command()
@click.argument("queue")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def stats(redis_url: str, queue: str, as_json: bool) -> None:
    """Count the messages of a queue, by state and in total; then its oldest message, its workers, and its rates.

    \b
    This always holds for a queue:
      published + replayed = waiting + delayed + suspended + processing + acked
        + discarded + purged + cancelled + expired + dead_lettered_total
        + written_off + unaccounted
    And for a dead-letter queue:
      published + dead_lettered_total = waiting + delayed + processing
        + dead_lettered + acked + discarded + purged + cancelled + expired + replayed
        + written_off + unaccounted

    unaccounted is 0 unless another program has deleted or written messages; bizzmq audit QUEUE finds the reason.
    """  # noqa: D301 - click reads \b as the beginning of lines that it leaves as they are
    with open_broker(redis_url) as broker:
        counts = queue_stats.stats(broker, queue).as_dict()
        activity = broker.perform(queue_stats.read_permitted_activity(broker.keys(queue)))
    if as_json:
        show(json.dumps({**counts, **(activity.as_dict() if activity else {})}))
        return
    for name, count in counts.items():
        show(f"{name:<19} {count:>12,}")
    if activity is not None:
        _show_activity(activity)


def _show_activity(activity: QueueActivity) -> None:
    oldest_s = activity.oldest_waiting_s
    show_folded(f"{'oldest waiting':<19} {'none' if oldest_s is None else span(oldest_s):>12}")
    on = f" on {', '.join(activity.hosts)}" if activity.hosts else ""
    show_folded(f"{'workers':<19} {activity.workers:>12,}{on}")
    spans = "  ".join(f"{seconds // 60:>8} min" for seconds in activity.rates)
    show_folded(f"{'a minute, over':<19} {spans}")
    for name in Rate._fields:
        rates = [None if rate is None else getattr(rate, name) for rate in activity.rates.values()]
        values = "  ".join(f"{'?' if rate is None else format(rate, ',.1f'):>12}" for rate in rates)
        show_folded(f"{name:<19} {values}")
