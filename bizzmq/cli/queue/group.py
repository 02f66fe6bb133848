"""`bizzmq queue`: create, change and delete queues."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from bizzmq.admin import delete_queue as queue_deletion
from bizzmq.admin import update as queue_update
from bizzmq.broker.broker import open_broker
from bizzmq.cli.helpers import Duration, confirm_deletion, counted, naming_options, show_done, yes_option
from bizzmq.cli.queue.options import NAMES, option_name, queue_options, word_of
from bizzmq.cli.queue.show import list_, show_
from bizzmq.errors import QueueInUseError
from bizzmq.queue import MAX_LENGTH, MAX_SHARDS, QueueOptions
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError, Group
from bizzmq.utils.standard_streams import show_on_stderr

_DEFAULT = QueueOptions(config_dead_letter_queue=True)
_SHARDS_HELP = "Into how many shards it is divided; messages keep their order within a shard."


@click.group(cls=Group)
def queue() -> None:
    """Manage queues."""


@queue.command()
@click.argument("name")
@queue_options(
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
    with naming_options(**NAMES):
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
@queue_options()
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
            flag = option_name(option)
            raise click.UsageError(f"{flag} and --no-{flag[2:]} contradict each other")
        changes[option] = None
    if not changes:
        raise click.UsageError("name at least one option to change, for example --max-retries 5")
    with open_broker(redis_url) as broker, naming_options(**NAMES):
        done = queue_update.update(broker, name, changes)
    changed = [
        f"{option_name(one)} is {word_of(now)}, was {word_of(before)}" for one, (before, now) in done.changed.items()
    ]
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


def _differences(wanted: QueueOptions, found: QueueOptions) -> list[str]:
    stored, asked = asdict(found), asdict(wanted.as_stored())
    return [
        f"{option_name(name)} is {word_of(stored[name])}, not {word_of(asked[name])}"
        for name in asked
        if stored[name] != asked[name]
    ]


queue.add_command(show_)
queue.add_command(list_)
