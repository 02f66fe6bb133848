"""`bizzmq cancel`: cancel one message, or those of a queue."""

from __future__ import annotations

from typing import Iterator

import click

from bizzmq.admin.explain.explanation import read_explanation
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.cli.helpers import confirm, counted, naming_options, show_count, show_done, yes_option
from bizzmq.control import cancel as cancelling
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError

by_option = click.option("--by", metavar="NAME", default="", allow_from_autoenv=False,
                         help="Who does this.  [default: user@host]")  # fmt: skip
reason_option = click.option("--reason", metavar="TEXT", default="", allow_from_autoenv=False, help="Why.")


@click.command()
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--queue", "-q", metavar="QUEUE", help="The queue of the message, or of all messages to cancel.")
@click.option("--task", metavar="TASK", default="", help="Without ID: only messages of this task.")
@click.option("--key", metavar="KEY", default="", help="Without ID: only messages with this key.")
@click.option(
    "--unique-key", metavar="KEY", default="", help="Without ID: the message of --queue that has this unique key."
)
@by_option
@reason_option
@yes_option
@click.pass_obj
@naming_options()
def cancel(
    redis_url: str, message_id: str | None, *, queue: str | None, task: str, key: str, unique_key: str, by: str,
    reason: str, yes: bool,
) -> None:  # fmt: skip
    """Cancel a message, or the messages of a queue: they are neither run nor retried.

    A message that is not running ends at once. A running one ends within a second, or, if its handler does not stop,
    after the grace period of its pool. Without --queue, all queues are searched for ID.
    """
    record, selection = cancelling.checked_record(by, reason), cancelling.checked_selection(task, key)
    if message_id is None and queue is None:
        raise click.UsageError("name a message by its ID, or a queue by --queue")
    if message_id is not None and (task or key):
        raise click.UsageError("--task and --key choose among the messages of a queue: they take no ID")
    if unique_key and (message_id is not None or queue is None or task or key):
        raise click.UsageError("--unique-key names one message of --queue: it takes neither ID, --task nor --key")
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        if message_id is not None or unique_key:
            _cancel_one(broker, cancelling.checked_target(message_id or "", queue, unique_key), record)
        elif k is not None:
            count = cancelling.count_selected(broker, k, selection)
            confirm(f"cancel {counted(count, 'message')} of {queue}", "nothing was cancelled", yes)
            show_count(_counts(broker, k, selection, record), "message", "cancelled")


def _cancel_one(broker: Broker, target: cancelling.Target, record: bytes) -> None:
    done = broker.perform(cancelling.cancel_target(target, record))
    if done == cancelling.NOTHING:
        if target.unique_key and target.k is not None:
            why = f"{target.k.queue} has no message with the unique key {target.unique_key} that could be cancelled"
        else:
            found = broker.perform(read_explanation(target.k, target.message_id))
            why = f"message {found.id} cannot be cancelled: {found.sentence}"
        raise CommandError(logs.escape(why), FAILED)
    show_done("1 message cancelled" if done.ended else "1 running message is being cancelled")


def _counts(broker: Broker, k: QueueKeys, selection: cancelling.Selection, record: bytes) -> Iterator[int]:
    for done in cancelling.cancel_all(broker, k, selection, record):
        yield sum(done)
