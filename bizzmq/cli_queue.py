"""`bizzmq queue create`: make a queue before anybody publishes to it."""

from __future__ import annotations

from dataclasses import asdict

import click

from bizzmq.cli_support import Number, open_broker, show_done
from bizzmq.console import Group
from bizzmq.keys import MAX_SHARDS
from bizzmq.queue import QueueOptions
from bizzmq.streams import say

_DEFAULT = QueueOptions(config_dead_letter_queue=True)
_NAMES = {"config_dead_letter_queue": "dead-letter", "retry": "first-retry-count"}


@click.group(cls=Group)
def queue() -> None:
    """Queues: create one."""


@queue.command()
@click.argument("name")
@click.option("--dead-letter/--no-dead-letter", default=True, show_default=True,
              help="Keep what could not be handled in NAME_dlq, or discard it.")  # fmt: skip
@click.option("--max-retries", type=click.IntRange(min=0), default=_DEFAULT.max_retries, show_default=True, metavar="N",
              help="How often a message is tried again.")  # fmt: skip
@click.option("--first-retry-count", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="The retry count that its messages start with.")  # fmt: skip
@click.option("--retry-backoff", type=Number(min=0), default=_DEFAULT.retry_backoff_s, show_default=True,
              metavar="SECONDS", help="Before the first retry; doubles with each.")  # fmt: skip
@click.option("--retry-backoff-max", type=Number(min=0), default=_DEFAULT.retry_backoff_max_s, show_default=True,
              metavar="SECONDS", help="Upper bound of that.")  # fmt: skip
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="SECONDS",
              help="How long one delivery may take.  [default: no limit]")  # fmt: skip
@click.option("--shards", type=click.IntRange(1, MAX_SHARDS), default=1, show_default=True, metavar="N",
              help="Places it is spread over; order holds within each.")  # fmt: skip
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
    timeout: float | None,
    shards: int,
) -> None:
    """Create the queue NAME. One that exists keeps its options; a difference is a warning."""
    wanted = QueueOptions(
        config_dead_letter_queue=dead_letter,
        max_retries=max_retries,
        retry=first_retry_count,
        retry_backoff_s=retry_backoff,
        retry_backoff_max_s=retry_backoff_max,
        timeout_s=timeout,
        shards=shards,
    )
    with open_broker(redis_url) as broker:
        created = broker.create(name, wanted)
        found = broker.options(name)
    differences = _differences(wanted, found)
    if differences:
        say(f"bizzmq: warning: queue {name!r} exists with other options and keeps them: {'; '.join(differences)}")
    show_done(f"{name} created" if created else f"{name} exists")


def _differences(wanted: QueueOptions, found: QueueOptions) -> list[str]:
    stored, asked = asdict(found), asdict(wanted)
    return [
        f"{_option(name)} is {_word(stored[name])}, not {_word(asked[name])}"
        for name in asked
        if stored[name] != asked[name]
    ]


def _option(field: str) -> str:
    return "--" + _NAMES.get(field, field[:-2] if field.endswith("_s") else field).replace("_", "-")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "no limit" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
