"""`bizzmq dlq`: look at dead letters, put them back, delete them."""

from __future__ import annotations

import calendar
import json
import time
from typing import Any

import click

from bizzmq import census, logs
from bizzmq.broker import Broker
from bizzmq.cli_support import confirm_deletion, open_broker, show_count
from bizzmq.console import Group
from bizzmq.errors import ConfigurationError
from bizzmq.purging import purge_all
from bizzmq.streams import say, show
from bizzmq.tables import ago, table

_LONGEST = 200
_STACKS = ("traceback", "stack")
_FURTHER = {
    "last_crash": "and how the last worker that died while running it ended:",
    "handler_error": "and what the dead-letter queue's own handler made of it:",
}


@click.group(cls=Group)
def dlq() -> None:
    """Dead letters: messages that could not be handled. QUEUE is a queue or its dead-letter queue."""


@dlq.command("list")
@click.argument("queue")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(redis_url: str, queue: str, limit: int, offset: int, as_json: bool) -> None:
    """List dead letters, oldest first."""
    with open_broker(redis_url) as broker:
        total = _total(broker, queue)
        letters = census.dead_letters(broker, queue, offset, limit)
    if as_json:
        show(json.dumps([_summary(letter) for letter in letters]))
        return
    table(
        [_row(letter) for letter in letters],
        ("id", "failed", "error_type", "error", "place", "failed_at"),
        spare=("failed_at", "place"),
        cut={"error_type": 12, "error": 24},
    )
    if offset + len(letters) < total:
        say(f"... {total - offset - len(letters)} more")


@dlq.command("show")
@click.argument("queue")
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show_(redis_url: str, queue: str, message_id: str | None, as_json: bool) -> None:
    """Show one dead letter, by default the oldest: its body, and everything that is known of its error."""
    with open_broker(redis_url) as broker:
        letter = _oldest(broker, queue) if message_id is None else _find(broker, queue, message_id)
    body = letter.message.body if letter.message else None
    if as_json:
        show(json.dumps({"id": letter.id, "body": body, "error": dict(letter.error)}))
        return
    show(f"id                {logs.escape(logs.cut(letter.id))}")
    show(f"body              {json.dumps(body) if letter.message else _shown(repr(letter.envelope))}")
    _show_record(letter.error)
    for name, sentence in _FURTHER.items():
        if isinstance(letter.error.get(name), dict):
            show(sentence)
            _show_record(letter.error[name])


@dlq.command()
@click.argument("queue")
@click.argument("message_ids", metavar="[ID]...", nargs=-1)
@click.pass_obj
def replay(redis_url: str, queue: str, message_ids: tuple[str, ...]) -> None:
    """Put dead letters back into their queue, by default all, to be tried as often as a new message."""
    with open_broker(redis_url) as broker:
        _total(broker, queue)
        for message_id in message_ids:
            _find(broker, queue, message_id)  # a wrong id is said before anything is moved
        letters = (
            census.dead_letter(broker, queue, one) for one in message_ids or census.dead_letter_ids(broker, queue)
        )
        show_count(
            (census.replay(broker, queue, letter) for letter in letters if letter is not None), "messages put back"
        )


@dlq.command()
@click.argument("queue")
@click.option("--yes", is_flag=True, help="Do not ask first. A script needs it.")
@click.pass_obj
def purge(redis_url: str, queue: str, yes: bool) -> None:
    """Delete all dead letters that nobody is handling."""
    with open_broker(redis_url) as broker:
        total = _total(broker, queue)
        confirm_deletion(f"{total} dead letters of {queue}", yes)
        show_count(purge_all(broker, broker.keys(queue).dead_letters().queue), "messages deleted")


def _total(broker: Broker, queue: str) -> int:
    """How many dead letters there are. Raises QueueNotFoundError."""
    return census.dead_letter_count(broker, queue)


def _find(broker: Broker, queue: str, message_id: str) -> census.DeadLetter:
    letter = census.dead_letter(broker, queue, message_id)
    if letter is None:
        raise ConfigurationError(f"there is no dead letter {message_id!r} in {queue!r}")
    return letter


def _oldest(broker: Broker, queue: str) -> census.DeadLetter:
    _total(broker, queue)
    letters = census.dead_letters(broker, queue, 0, 1)
    if not letters:
        raise ConfigurationError(f"there are no dead letters in {queue!r}")
    return letters[0]


def _summary(letter: census.DeadLetter) -> dict[str, Any]:
    error = letter.error
    names = ("failed_at", "error_type", "error", "queue", "retry_count", "worker")
    return {"id": letter.id, "place": letter.place, **{name: error.get(name, "") for name in names}}


def _row(letter: census.DeadLetter) -> list[str]:
    error = letter.error
    failed_at = str(error.get("failed_at", ""))
    lines = [_short(str(error.get(name, ""))) for name in ("error_type", "error")]
    return [letter.id, _age(failed_at), *lines, letter.place, _short(failed_at)]


def _age(failed_at: str) -> str:
    try:
        then_s = calendar.timegm(time.strptime(failed_at, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return ""
    return ago(time.time() - then_s)


def _short(text: str) -> str:
    """Its first line, of which a list shows no more than so much."""
    line = text.splitlines()[0] if text.strip() else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _show_record(error: Any) -> None:
    """Every fact on a line of its own, then the stacks line by line."""
    for name, value in error.items():
        if name not in _STACKS and not isinstance(value, dict):
            show(f"{logs.escape(logs.cut(name)):<17} {_shown(str(value))}")
    for name in _STACKS:
        for line in logs.cut(str(error.get(name, "")), 2 * logs.TRACE_LIMIT).splitlines():
            show(f"  {logs.escape(line)}")


def _shown(text: str) -> str:
    """What stands in Redis, cut where no worker of ours would have written more."""
    return logs.escape(logs.cut(text, 2 * logs.TRACE_LIMIT))
