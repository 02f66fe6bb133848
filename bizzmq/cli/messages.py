"""`bizzmq list`, `find` and `delete`: list messages, find one, delete one."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from bizzmq.admin import delete as deletion
from bizzmq.admin import find as search
from bizzmq.admin import listing
from bizzmq.admin import stats as queue_stats
from bizzmq.admin.message_filter import MessageFilter
from bizzmq.admin.stored_message import DEAD_LETTERED, STATES, WAITING, StoredMessage
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.helpers import Duration, confirm_deletion, naming_options, show_done, yes_option
from bizzmq.cli.tables import ago, table
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError
from bizzmq.utils.standard_streams import show, show_on_stderr
from bizzmq.utils.wording import utc

_BODY, _SHOWN = 60, 10_000
_PAGES = 10
"""How many pages one call reads with a filter."""
_DEAD = "dead"
_HEAD = ("id", "published", "priority", "tried", "task", "key", "place", "about", "body")


@click.command("list")
@click.argument("queue")
@click.option(
    "--state",
    type=click.Choice([*STATES, _DEAD]),
    help="The state to list; dead is short for dead_lettered.  [default: waiting; dead for a dead-letter queue]",
)
@click.option("--task", default="", metavar="NAME", help="Only messages of this task.")
@click.option("--key", default="", metavar="KEY", help="Only messages with this key.")
@click.option("--older", type=Duration(min=0), default=0, metavar="TIME",
              help="Only those published at least so long ago: 30s, 5m, 2h, 1d.")  # fmt: skip
@click.option("--error", default="", metavar="TEXT", help="Only those with this in the type or text of their error.")
@click.option("--body", default="", metavar="TEXT", help="Only those with this in their body, as JSON, in any case.")
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--limit", type=click.IntRange(1, listing.MAX_PAGE), default=50, show_default=True, metavar="N",
              help="The most messages to list.")  # fmt: skip
@click.option("--after", metavar="CURSOR", help="Continue an earlier list: the CURSOR that it ended with.")
@click.option("--json", "as_json", is_flag=True, help='One JSON document: "messages", and "next" for --after.')
@click.pass_obj
@naming_options()
def list_messages(
    redis_url: str, queue: str, *, state: str | None, task: str, key: str, older: float, error: str, body: str,
    newest: bool, limit: int, after: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List the messages of a queue in one state: waiting ones in the order in which workers claim them.

    With a filter, one call searches up to 100,000 messages; it ends with a CURSOR to go on from.
    """
    shown = MessageFilter(task, key, older, error, body)
    with open_broker(redis_url) as broker:
        k = broker.keys(queue)
        state = DEAD_LETTERED if state == _DEAD or (state is None and k.is_dead_letter_queue) else state or WAITING
        state = listing.checked_state(k, state)
        page = broker.perform(listing.read_page(k, state, limit, after, shown=shown, newest_first=newest))
        found = list(page.messages)
        for _ in range(_PAGES - 1):
            if page.next is None or len(found) == limit or shown.is_open:
                break
            rest = limit - len(found)
            page = broker.perform(listing.read_page(k, state, rest, page.next, shown=shown, newest_first=newest))
            found += page.messages
        asks = not (found or as_json or after or k.is_dead_letter_queue) and shown.is_open
        others = _counts_of_others(broker, queue, state) if asks else {}
    if as_json:
        show(json.dumps(listing.MessagePage(found, page.next).as_dict()))
        return
    rows, head = [_row(message) for message in found], list(_HEAD)
    for name in ("key", "task"):
        if not any(row[head.index(name)] for row in rows):
            rows = [[cell for shown, cell in zip(head, row) if shown != name] for row in rows]
            head.remove(name)
    table(rows, head, optional=("priority", "place", "tried", "published", "key", "about"),
          cut={"about": 10, "task": 10, "key": 8, "body": 8})  # fmt: skip
    if page.next is not None:
        show_on_stderr(f"... more: --after {page.next}")
    if others:
        listed = ", ".join(f"{count:,} {other}" for other, count in others.items())
        show_on_stderr(f"no message is {state}; {listed}: see --state")


def _counts_of_others(broker: Broker, queue: str, state: str) -> dict[str, int]:
    """How many messages of a queue are in each other state; without those that have none."""
    try:
        counts = queue_stats.stats(broker, queue).as_dict()
    except CommandRefusedError:
        return {}
    return {other: counts[other] for other in STATES if other != state and counts[other]}


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="Search only this queue and its dead-letter queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def find(redis_url: str, message_id: str, *, queue: str | None, as_json: bool) -> None:
    """Find a message in all queues: where it is, what it is, and how often it was tried.

    Without --queue it costs two requests for each queue.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        found = broker.perform(search.find_message(k, as_bytes(message_id)))
    if found is None:
        raise _missing(message_id, "" if queue is None else queue)
    if as_json:
        show(json.dumps(found.as_dict()))
        return
    for name, value in found.as_dict().items():
        if value not in (None, "", {}) or name == "body":
            show(f"{name:<15} {_shown(name, value)}")


@click.command()
@click.argument("queue")
@click.argument("message_id", metavar="ID")
@yes_option
@click.pass_obj
def delete(redis_url: str, queue: str, message_id: str, *, yes: bool) -> None:
    """Delete one message of a queue or its dead letters, unless a worker is handling it."""
    with open_broker(redis_url) as broker:
        k, raw_id = broker.keys(queue), as_bytes(message_id)
        if broker.perform(search.find_message(k, raw_id)) is None:
            raise _missing(message_id, queue)
        confirm_deletion(f"the message {message_id} of {queue}", yes)
        if not broker.perform(deletion.delete_message(k, raw_id)):
            raise _missing(message_id, queue)
    show_done("1 message deleted")


def _missing(message_id: str, where: str) -> CommandError:
    text = f"no queue has the message {message_id}" if not where else f"{where} has no message {message_id}"
    return CommandError(logs.escape(text), FAILED)


def _row(message: StoredMessage) -> list[Any]:
    published = "" if message.published_at_s is None else ago(time.time() - message.published_at_s)
    about = message.worker or message.error.get("error_type", "") or message.problem or message.last_error
    if message.due_at_s is not None:
        about = f"due {utc(message.due_at_s)}"
    body = json.dumps(message.body) if message.message else repr(message.envelope[:_BODY])
    body = body if len(body) <= _BODY else f"{body[:_BODY]}..."
    properties = message.message.properties if message.message else None
    task, key = (properties.task, properties.key) if properties else ("", "")
    return [message.id, published, message.priority, message.delivery, task, key, message.place, str(about), body]


def _shown(name: str, value: Any) -> str:
    if name.endswith("_at_s"):
        return utc(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return logs.escape(logs.cut(text, _SHOWN))
