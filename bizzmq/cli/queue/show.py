"""`bizzmq queue show` and `bizzmq queue list`: the options of queues."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from bizzmq.admin import show as queue_info
from bizzmq.admin.stats import queue_names
from bizzmq.broker.broker import open_broker
from bizzmq.cli.queue.options import option_name, word_of
from bizzmq.cli.tables import table
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show as show_line
from bizzmq.utils.standard_streams import show_on_stderr
from bizzmq.utils.wording import utc


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show_(redis_url: str, name: str, as_json: bool) -> None:
    """Show the options of the queue NAME, its shards and its dead-letter queue."""
    with open_broker(redis_url) as broker:
        info = queue_info.show(broker, name)
    if as_json:
        show_line(json.dumps(info.as_dict()))
        return
    rows = {
        "queue": info.queue,
        **{option_name(one)[2:]: word_of(value) for one, value in asdict(info.options).items()},
    }
    rows["shards"] = str(len(info.shards))
    rows["dead-letter-queue"] = info.dead_letter_queue or "none"
    rows["options-chosen"] = "no: the first explicit ones replace them" if info.is_implicit else "yes"
    rows["created-at"] = utc(info.created_at_s) if info.created_at_s else "unknown"
    for title, value in rows.items():
        show_line(f"{title:<19} {value}")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(redis_url: str, as_json: bool) -> None:
    """List all queues with their options. Their counts are shown by bizzmq queues."""
    with open_broker(redis_url) as broker:
        found: dict[str, queue_info.QueueInfo | str] = {}
        for name in queue_names(broker):
            try:
                found[name] = queue_info.show(broker, name)
            except QUEUE_TROUBLE as error:
                found[name] = str(error)
    if as_json:
        rows = [{"queue": name, "error": one} if isinstance(one, str) else one.as_dict() for name, one in found.items()]
        show_line(json.dumps(rows))
        return
    head = ("queue", "max_retries", "timeout", "retry_backoff", "dead_letter", "shards", "chosen")
    table([_row(name, one) for name, one in found.items()], head, optional=("retry_backoff", "shards"),
          cut={"queue": 16})  # fmt: skip
    for name, one in found.items():
        if isinstance(one, str):
            show_on_stderr(f"{name}: {logs.escape(one)}")


def _row(name: str, info: queue_info.QueueInfo | str) -> list[str]:
    if isinstance(info, str):
        return [name, *["?"] * 6]
    options = info.options
    kept = (options.max_retries, options.timeout_s, options.retry_backoff_s, options.config_dead_letter_queue)
    return [name, *map(word_of, kept), str(len(info.shards)), "no" if info.is_implicit else "yes"]
