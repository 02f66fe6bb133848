"""`bizzmq retry`: run a delayed message now."""

from __future__ import annotations

import click

from bizzmq.admin.explain.explanation import read_explanation
from bizzmq.broker.broker import open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.helpers import show_done
from bizzmq.control.retry import retry_message
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="The queue of the message.  [default: all queues are searched]")
@click.pass_obj
def retry(redis_url: str, message_id: str, *, queue: str | None) -> None:
    """Run a delayed message now: one that waits for its next retry, or was published for later.

    It becomes the last message of its queue. Dead letters are replayed instead: bizzmq replay.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        if not broker.perform(retry_message(k, as_bytes(message_id))):
            found = broker.perform(read_explanation(k, as_bytes(message_id)))
            raise CommandError(logs.escape(f"message {found.id} is not delayed: {found.sentence}"), FAILED)
    show_done("1 message waits now")
