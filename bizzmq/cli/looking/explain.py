"""`bizzmq explain`: why a message is where it is."""

from __future__ import annotations

import json

import click

from bizzmq.admin.explain.explanation import read_explanation
from bizzmq.broker.broker import open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.tables import show_folded
from bizzmq.utils.standard_streams import show


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="Search only this queue and its dead-letter queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: the situation, the sentence, its facts.")
@click.pass_obj
def explain(redis_url: str, message_id: str, *, queue: str | None, as_json: bool) -> None:
    """Say in one sentence why a message is where it is, or what has become of it.

    What pools do is as old as their last heartbeat, up to 3 seconds. Without --queue it costs a few requests for each
    queue.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        explanation = broker.perform(read_explanation(k, as_bytes(message_id)))
    if as_json:
        show(json.dumps(explanation.as_dict()))
    else:
        show_folded(explanation.sentence)
