"""`bizzmq dlq`: list, group, show, replay and delete dead letters."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any, Iterator

import click

from bizzmq.admin import dead_letters
from bizzmq.admin.purge import purge_all
from bizzmq.admin.stored_message import StoredMessage
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.cli.dlq import replay
from bizzmq.cli.dlq.options import filters, replay_options, taken_filter
from bizzmq.cli.helpers import confirm_deletion, counted, naming_options, show_count, yes_option
from bizzmq.cli.tables import ago, table
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.fingerprint import fingerprint_of
from bizzmq.dead_letters.groups import DeadLetterGroup, Grouping
from bizzmq.dead_letters.letters import failed_at_s
from bizzmq.dead_letters.listing import list_letters
from bizzmq.errors import ConfigurationError
from bizzmq.utils import logs
from bizzmq.utils.console import Group
from bizzmq.utils.standard_streams import show, show_on_stderr

_LONGEST = 200
_PAGE = 100
_STACKS = ("traceback", "stack")
_FURTHER = {
    "last_crash": "the last crash of a worker that was running it:",
    "handler_error": "the error of the dead-letter queue's own handler:",
}


@click.group(cls=Group)
def dlq() -> None:
    """Manage dead letters: messages that could not be handled. QUEUE is a queue or its dead-letter queue."""


@dlq.command("list")
@click.argument("queue")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0)
@filters
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(redis_url: str, /, queue: str, *, limit: int, offset: int, as_json: bool, **given: Any) -> None:
    """List dead letters, oldest first."""
    with naming_options(**replay.NAMES):
        wanted = taken_filter(given)
    with open_broker(redis_url) as broker:
        total = _total(broker, queue)
        if wanted.is_open:
            letters = dead_letters.dead_letters(broker, queue, offset, limit)
            left = total - offset - len(letters)
        else:
            passing = list(itertools.islice(_passing(broker, queue, wanted), offset, offset + limit + 1))
            letters, left = passing[:limit], len(passing) - limit
    if as_json:
        show(json.dumps([_summary(letter) for letter in letters]))
        return
    table(
        [_row(letter) for letter in letters],
        ("id", "failed", "error_type", "error", "place", "failed_at"),
        optional=("failed_at", "place"),
        cut={"error_type": 12, "error": 24},
    )
    if left > 0:
        show_on_stderr(f"... {left} more" if wanted.is_open else "... more")


@dlq.command("groups")
@click.argument("queue")
@filters
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def groups(redis_url: str, /, queue: str, *, as_json: bool, **given: Any) -> None:
    """Group dead letters by what failed: the error's type, and the last line of your code.

    A group is replayed by bizzmq dlq replay QUEUE --fingerprint FINGERPRINT.
    """
    with naming_options(**replay.NAMES):
        wanted = taken_filter(given)
    with open_broker(redis_url) as broker:
        grouping = Grouping(broker.keys(queue), wanted)
        while not grouping.is_complete:
            broker.perform(grouping.read_page())
    found = grouping.groups()
    if as_json:
        show(json.dumps([group.as_dict() for group in found]))
        return
    table(
        [_group_row(group) for group in found],
        ("fingerprint", "count", "first", "last", "error_type", "where", "error"),
        optional=("first", "error"),
        cut={"error": 12, "where": 12, "error_type": 12},
    )


@dlq.command("show")
@click.argument("queue")
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show_(redis_url: str, queue: str, message_id: str | None, as_json: bool) -> None:
    """Show one dead letter, by default the oldest, with its body and the record of its error."""
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


@dlq.command("replay")
@click.argument("queue")
@click.argument("message_ids", metavar="[ID]...", nargs=-1)
@filters
@replay_options
@click.pass_obj
def replay_(redis_url: str, /, queue: str, message_ids: tuple[str, ...], **given: Any) -> None:
    """Move dead letters back to their queue, by default all. They get as many attempts as new messages."""
    replay.replay(redis_url, queue, message_ids, replay.taken_options(given))


@dlq.command()
@click.argument("queue")
@yes_option
@click.pass_obj
def purge(redis_url: str, queue: str, yes: bool) -> None:
    """Delete all dead letters, except those that a worker is handling."""
    with open_broker(redis_url) as broker:
        total = _total(broker, queue)
        confirm_deletion(f"{counted(total, 'dead letter')} of {queue}", yes)
        show_count(purge_all(broker, broker.keys(queue).dead_letters().queue), "message", "deleted")


def _total(broker: Broker, queue: str) -> int:
    """The number of dead letters. Raises QueueNotFoundError."""
    return dead_letters.dead_letter_count(broker, queue)


def _find(broker: Broker, queue: str, message_id: str) -> StoredMessage:
    letter = dead_letters.dead_letter(broker, queue, message_id)
    if letter is None:
        replay.missing(queue, message_id)
    return letter


def _passing(broker: Broker, queue: str, wanted: LetterFilter) -> Iterator[StoredMessage]:
    """All dead letters that pass a filter."""
    after = None
    while True:
        page = broker.perform(list_letters(broker.keys(queue), wanted, _PAGE, after))
        yield from page.messages
        after = page.next
        if after is None:
            return


def _oldest(broker: Broker, queue: str) -> StoredMessage:
    _total(broker, queue)
    letters = dead_letters.dead_letters(broker, queue, 0, 1)
    if not letters:
        raise ConfigurationError(f"there are no dead letters in {queue!r}")
    return letters[0]


def _summary(letter: StoredMessage) -> dict[str, Any]:
    error = letter.error
    names = ("failed_at", "error_type", "error", "queue", "retry_count", "worker")
    about = {name: error.get(name, "") for name in names}
    return {"id": letter.id, "place": letter.place, **about, "fingerprint": fingerprint_of(error).value}


def _row(letter: StoredMessage) -> list[str]:
    error = letter.error
    failed_at = str(error.get("failed_at", ""))
    lines = [_short(str(error.get(name, ""))) for name in ("error_type", "error")]
    return [letter.id, _ago(failed_at_s(error)), *lines, letter.place, _short(failed_at)]


def _group_row(group: DeadLetterGroup) -> list[Any]:
    times = [_ago(one) for one in (group.first_failed_at_s, group.last_failed_at_s)]
    kind = group.error_type or "(no error)"
    return [group.fingerprint, group.count, *times, _short(kind), _short(group.where), _short(group.error)]


def _ago(then_s: float | None) -> str:
    return "" if then_s is None else ago(time.time() - then_s)


def _short(text: str) -> str:
    """The first line of a text, cut to the width of a list."""
    line = text.splitlines()[0] if text.strip() else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _show_record(error: Any) -> None:
    """Show each field of the record on one line, then the stacks line by line."""
    for name, value in error.items():
        if name not in _STACKS and not isinstance(value, dict):
            show(f"{logs.escape(logs.cut(name)):<17} {_shown(str(value))}")
    for name in _STACKS:
        for line in logs.cut(str(error.get(name, "")), 2 * logs.TRACE_LIMIT).splitlines():
            show(f"  {logs.escape(line)}")


def _shown(text: str) -> str:
    """A text from Redis on one line, cut at a length that no worker exceeds."""
    return logs.escape(logs.cut(text, 2 * logs.TRACE_LIMIT))
