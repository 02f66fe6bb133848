"""`bizzmq queues`: all queues with their counts."""

from __future__ import annotations

import json

import click

from bizzmq.admin import stats as queue_stats
from bizzmq.broker.broker import open_broker
from bizzmq.cli.tables import table
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show, show_on_stderr


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def queues(redis_url: str, as_json: bool) -> None:
    """List all queues with their counts."""
    with open_broker(redis_url) as broker:
        rows = [summary.as_dict() for summary in queue_stats.overview(broker)]
    if as_json:
        show(json.dumps(rows))
        return
    shown = ("queue", "waiting", "delayed", "processing", "dead_lettered", "published", "acked")
    counted = [[row.get(name, "?") for name in shown] for row in rows]
    table(counted, shown, optional=("acked", "published"), cut={"queue": 16})
    for row in rows:
        if "error" in row:
            show_on_stderr(f"{row['queue']}: {logs.escape(row['error'])}")
