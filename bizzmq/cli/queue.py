"""`bizzmq queue`: create, change, show, list and delete queues."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Callable, TypeVar

import click

from bizzmq.admin import delete_queue as queue_deletion
from bizzmq.admin import show as queue_info
from bizzmq.admin import update as queue_update
from bizzmq.admin.stats import queue_names
from bizzmq.broker.broker import open_broker
from bizzmq.cli.helpers import Duration, confirm_deletion, counted, naming_options, option_of, show_done, yes_option
from bizzmq.cli.tables import table
from bizzmq.errors import QUEUE_TROUBLE, QueueInUseError
from bizzmq.queue import MAX_LENGTH, MAX_RETRIES, MAX_SHARDS, WHEN_FULL, QueueOptions
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError, Group
from bizzmq.utils.standard_streams import show as show_line
from bizzmq.utils.standard_streams import show_on_stderr
from bizzmq.utils.wording import utc

_DEFAULT = QueueOptions(config_dead_letter_queue=True)
_NAMES = {"config_dead_letter_queue": "dead-letter", "retry": "first-retry-count"}
_SHARDS_HELP = "Into how many shards it is divided; messages keep their order within a shard."
F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def queue() -> None:
    """Manage queues."""


def _options(**defaults: Any) -> Callable[[F], F]:
    """The options of `create` and `update`; without a default, None means that an option is not given."""
    shown = bool(defaults)

    def option(*names: str, **about: Any) -> Callable[[F], F]:
        field = names[0].partition("/")[0].lstrip("-").replace("-", "_")
        return click.option(*names, default=defaults.get(field), show_default=shown, **about)

    made = [
        option("--dead-letter/--no-dead-letter", help="Move messages that cannot be handled to NAME_dlq, or discard "
               "them."),
        option("--max-retries", type=click.IntRange(min=0), metavar="N", help="How often a message is retried."),
        option("--first-retry-count", type=click.IntRange(0, MAX_RETRIES), metavar="N",
               help="The retry count with which its messages start."),
        option("--retry-backoff", type=Duration(min=0), metavar="TIME",
               help="The wait before the first retry; doubles with each retry."),
        option("--retry-backoff-max", type=Duration(min=0), metavar="TIME", help="The longest wait before a retry."),
        option("--when-full", type=click.Choice(WHEN_FULL),
               help="What publishing to a full queue does."),
        option("--dead-letter-expired/--no-dead-letter-expired",
               help="Move messages that have expired to the dead-letter queue, or just end them."),
        option("--history/--no-history", help="Note what happens to each message, for bizzmq show."),
        click.option("--dead-letter-ttl", type=Duration(min=0, min_open=True), metavar="TIME",
                     help="Delete dead letters this long after they have failed, such as 30d."),
        click.option("--dead-letter-limit", type=click.IntRange(1, MAX_RETRIES), metavar="N",
                     help="The most dead letters; the oldest beyond it are deleted."),
    ]  # fmt: skip

    def decorate(function: F) -> F:
        for add in reversed(made):
            function = add(function)
        return function

    return decorate


@queue.command()
@click.argument("name")
@_options(
    dead_letter=True,
    max_retries=_DEFAULT.max_retries,
    first_retry_count=0,
    retry_backoff=_DEFAULT.retry_backoff_s,
    retry_backoff_max=_DEFAULT.retry_backoff_max_s,
    when_full=_DEFAULT.when_full,
    dead_letter_expired=False,
    history=False,
)
@click.option("--timeout", type=Duration(min=0, min_open=True), metavar="TIME",
              help="The time limit of one delivery.  [default: no limit]")  # fmt: skip
@click.option("--max-length", type=click.IntRange(1, MAX_LENGTH), metavar="N",
              help="How many messages may wait in it (in each shard).  [default: no limit]")  # fmt: skip
@click.option("--shards", type=click.IntRange(1, MAX_SHARDS), default=1, show_default=True, metavar="N",
              help=_SHARDS_HELP)  # fmt: skip
@click.pass_obj
def create(
    redis_url: str,
    name: str,
    *,
    dead_letter: bool,
    max_retries: int,
    first_retry_count: int,
    retry_backoff: float,
    retry_backoff_max: float,
    when_full: str,
    dead_letter_expired: bool,
    history: bool,
    timeout: float | None,
    max_length: int | None,
    shards: int,
    dead_letter_ttl: float | None,
    dead_letter_limit: int | None,
) -> None:
    """Create the queue NAME. An existing queue keeps its options; a difference is a warning."""
    with naming_options(**_NAMES):
        wanted = QueueOptions(
            config_dead_letter_queue=dead_letter,
            max_retries=max_retries,
            retry=first_retry_count,
            retry_backoff_s=retry_backoff,
            retry_backoff_max_s=retry_backoff_max,
            timeout_s=timeout,
            shards=shards,
            dead_letter_ttl_s=dead_letter_ttl,
            dead_letter_limit=dead_letter_limit,
            max_length=max_length,
            when_full=when_full,
            dead_letter_expired=dead_letter_expired,
            history=history,
        )
    with open_broker(redis_url) as broker:
        created = broker.create(name, wanted)
        found = broker.options(name)
    differences = _differences(wanted, found)
    if differences:
        show_on_stderr(
            f"bizzmq: warning: queue {name!r} exists with other options and keeps them: {'; '.join(differences)}; "
            "bizzmq queue update changes them"
        )
    show_done(f"{name} created" if created else f"{name} exists")


@queue.command()
@click.argument("name")
@_options()
@click.option("--timeout", type=Duration(min=0, min_open=True), metavar="TIME",
              help="The time limit of one delivery.")  # fmt: skip
@click.option("--no-timeout", is_flag=True, help="No time limit.")
@click.option("--no-dead-letter-ttl", is_flag=True, help="Keep dead letters however old they are.")
@click.option("--no-dead-letter-limit", is_flag=True, help="Keep dead letters however many they are.")
@click.option("--max-length", type=click.IntRange(1, MAX_LENGTH), metavar="N",
              help="How many messages may wait in it (in each shard).")  # fmt: skip
@click.option("--no-max-length", is_flag=True, help="Any number of messages may wait in it.")
@click.option("--shards", type=click.IntRange(1, MAX_SHARDS), hidden=True)
@click.pass_obj
def update(
    redis_url: str,
    name: str,
    *,
    dead_letter: bool | None,
    max_retries: int | None,
    first_retry_count: int | None,
    retry_backoff: float | None,
    retry_backoff_max: float | None,
    when_full: str | None,
    dead_letter_expired: bool | None,
    history: bool | None,
    timeout: float | None,
    no_timeout: bool,
    max_length: int | None,
    no_max_length: bool,
    shards: int | None,
    dead_letter_ttl: float | None,
    dead_letter_limit: int | None,
    no_dead_letter_ttl: bool,
    no_dead_letter_limit: bool,
) -> None:
    """Change the given options of the queue NAME; the others stay. Pools use them within 5 seconds.

    The number of shards cannot be changed. --dead-letter creates the dead-letter queue, --no-dead-letter leaves it with
    its messages.
    """
    given: dict[str, Any] = {
        "config_dead_letter_queue": dead_letter,
        "max_retries": max_retries,
        "retry": first_retry_count,
        "retry_backoff_s": retry_backoff,
        "retry_backoff_max_s": retry_backoff_max,
        "timeout_s": timeout,
        "shards": shards,
        "dead_letter_ttl_s": dead_letter_ttl,
        "dead_letter_limit": dead_letter_limit,
        "max_length": max_length,
        "when_full": when_full,
        "dead_letter_expired": dead_letter_expired,
        "history": history,
    }
    removed = {
        "timeout_s": no_timeout,
        "dead_letter_ttl_s": no_dead_letter_ttl,
        "dead_letter_limit": no_dead_letter_limit,
        "max_length": no_max_length,
    }
    changes = {option: value for option, value in given.items() if value is not None}
    for option in (one for one, is_removed in removed.items() if is_removed):
        if option in changes:
            flag = _option(option)
            raise click.UsageError(f"{flag} and --no-{flag[2:]} contradict each other")
        changes[option] = None
    if not changes:
        raise click.UsageError("name at least one option to change, for example --max-retries 5")
    with open_broker(redis_url) as broker, naming_options(**_NAMES):
        done = queue_update.update(broker, name, changes)
    changed = [f"{_option(one)} is {_word(now)}, was {_word(before)}" for one, (before, now) in done.changed.items()]
    show_done(f"{name}: {logs.escape('; '.join(changed))}" if changed else f"{name} has these options already")


@queue.command()
@click.argument("name")
@click.option("--with-messages", is_flag=True, allow_from_autoenv=False,
              help="Also if it has messages, dead letters or registered workers.")  # fmt: skip
@yes_option
@click.pass_obj
def delete(redis_url: str, name: str, *, with_messages: bool, yes: bool) -> None:
    """Delete the queue NAME with its shards, its dead-letter queue and its totals.

    It is refused while the queue has messages or registered workers. --with-messages deletes these, too, after it has
    asked. A pool that serves the queue creates it again: stop its pools first.
    """
    with open_broker(redis_url) as broker:
        k = broker.keys(name)
        if with_messages:
            found = broker.perform(queue_deletion.count_queue(k))
            messages, letters = counted(found.messages, "message"), counted(found.dead_letters, "dead letter")
            workers = f"; registered on it: {counted(found.workers, 'worker')}" if found.workers else ""
            confirm_deletion(f"the queue {name} with {messages} and {letters}{workers}", yes)
        try:
            deleted = broker.perform(queue_deletion.delete_queue(k, with_messages=with_messages))
        except QueueInUseError as error:
            raise CommandError(f"{error}; --with-messages deletes it", FAILED) from None
    show_done(f"{name} deleted" + (f" with {deleted} messages" if deleted else ""))


@queue.command("show")
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
    rows = {"queue": info.queue, **{_option(one)[2:]: _word(value) for one, value in asdict(info.options).items()}}
    rows["shards"] = str(len(info.shards))
    rows["dead-letter-queue"] = info.dead_letter_queue or "none"
    rows["options-chosen"] = "no: the first explicit ones replace them" if info.is_implicit else "yes"
    rows["created-at"] = utc(info.created_at_s) if info.created_at_s else "unknown"
    for title, value in rows.items():
        show_line(f"{title:<19} {value}")


@queue.command("list")
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
    return [name, *map(_word, kept), str(len(info.shards)), "no" if info.is_implicit else "yes"]


def _differences(wanted: QueueOptions, found: QueueOptions) -> list[str]:
    stored, asked = asdict(found), asdict(wanted.as_stored())
    return [
        f"{_option(name)} is {_word(stored[name])}, not {_word(asked[name])}"
        for name in asked
        if stored[name] != asked[name]
    ]


def _option(field: str) -> str:
    return f"--{_NAMES[field]}" if field in _NAMES else option_of(field)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and value.is_integer() and value < 1e15:
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "no limit" if value is None else str(value)
