"""`bizzmq queues`: all queues with their counts."""

from __future__ import annotations

import json
from typing import Any, Mapping

import click

from bizzmq.admin import stats as queue_stats
from bizzmq.admin.activity.pauses import Pause, read_pauses
from bizzmq.admin.activity.rates import Rate
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.cli.tables import table
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show, show_on_stderr
from bizzmq.utils.wording import span

_COUNTS = ("waiting", "delayed", "processing", "dead_lettered", "published", "acked")
_HEAD = ("queue", "waiting", "oldest", "delayed", "processing", "dead", "workers", "in/min", "out/min",
         "failed/min", "published", "acked")  # fmt: skip
_OPTIONAL = ("acked", "published", "failed/min", "delayed")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def queues(redis_url: str, as_json: bool) -> None:
    """List all queues with their counts, the age of what waits, and messages a minute over the last minute."""
    with open_broker(redis_url) as broker:
        summaries = queue_stats.overview(broker)
        pauses = {one.queue: _pauses(broker, one.queue) for one in summaries if one.stats is not None}
    rows = [one.as_dict() for one in summaries]
    for row in rows:
        if pauses.get(row["queue"]):
            row["pauses"] = [one.as_dict() for one in pauses[row["queue"]]]
    if as_json:
        show(json.dumps(rows))
        return
    shown = [_row(row) for row in rows]
    head = list(_HEAD)
    if any(row.get("suspended") for row in rows):  # messages of paused tasks and keys
        at = head.index("processing")
        head.insert(at, "suspended")
        for cells, row in zip(shown, rows):
            cells.insert(at, row.get("suspended", "?"))
    table(shown, head, optional=_OPTIONAL, cut={"queue": 16})
    for one in (one for found in pauses.values() for one in found):
        show_on_stderr(logs.escape(one.line()))
    for row in rows:
        if "error" in row:
            show_on_stderr(f"{row['queue']}: {logs.escape(row['error'])}")


def _row(row: Mapping[str, Any]) -> list[Any]:
    waiting, delayed, processing, dead, published, acked = (row.get(name, "?") for name in _COUNTS)
    oldest_s, rates = row.get("oldest_waiting_s"), [row.get(f"{name}_per_minute_1min") for name in Rate._fields]
    shown = ["" if rate is None else f"{rate:,.0f}" for rate in rates]
    oldest = "" if oldest_s is None else span(oldest_s)
    return [
        row["queue"], waiting, oldest, delayed, processing, dead, row.get("workers", ""), *shown, published, acked
    ]  # fmt: skip


def _pauses(broker: Broker, queue: str) -> list[Pause]:
    """What of a queue is paused; nothing if the user of Redis may not ask."""
    try:
        return broker.perform(read_pauses(broker.keys(queue)))
    except CommandRefusedError:
        return []
