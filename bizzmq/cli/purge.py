"""`bizzmq purge`: delete the messages of a queue."""

from __future__ import annotations

import click

from bizzmq.admin import stats as queue_stats
from bizzmq.admin.purge import purge_all
from bizzmq.broker.broker import open_broker
from bizzmq.cli.helpers import confirm_deletion, counted, show_count, yes_option


@click.command()
@click.argument("queue")
@yes_option
@click.pass_obj
def purge(redis_url: str, queue: str, yes: bool) -> None:
    """Delete all messages of a queue, except those that a worker is handling."""
    with open_broker(redis_url) as broker:
        counts = queue_stats.stats(broker, queue)
        confirm_deletion(f"{counted(counts.waiting + counts.delayed, 'message')} of {queue}", yes)
        show_count(purge_all(broker, queue), "message", "deleted")
