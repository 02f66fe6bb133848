"""`bizzmq stats`: the counts of a queue."""

from __future__ import annotations

import json

import click

from bizzmq.admin import stats as queue_stats
from bizzmq.broker.broker import open_broker
from bizzmq.utils.standard_streams import show


@click.command()
@click.argument("queue")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def stats(redis_url: str, queue: str, as_json: bool) -> None:
    """Count the messages of a queue, by state and in total.

    \b
    This always holds for a queue:
      published + replayed = waiting + delayed + processing + acked + discarded
        + purged + cancelled + expired + dead_lettered_total + written_off
        + unaccounted
    And for a dead-letter queue:
      published + dead_lettered_total = waiting + delayed + processing
        + dead_lettered + acked + discarded + purged + cancelled + expired + replayed
        + written_off + unaccounted

    unaccounted is 0 unless another program has deleted or written messages; bizzmq audit QUEUE finds the reason.
    """  # noqa: D301 - click reads \b as the beginning of lines that it leaves as they are
    with open_broker(redis_url) as broker:
        counts = queue_stats.stats(broker, queue).as_dict()
    if as_json:
        show(json.dumps(counts))
        return
    for name, count in counts.items():
        show(f"{name:<19} {count:>12,}")
