"""The options of a queue on the command line: their names, and their values in words."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import click

from bizzmq.cli.helpers import Duration, option_of
from bizzmq.queue import MAX_RETRIES, WHEN_FULL

NAMES = {"config_dead_letter_queue": "dead-letter", "retry": "first-retry-count"}
"""The options that are not called like their field."""
F = TypeVar("F", bound=Callable[..., Any])


def queue_options(**defaults: Any) -> Callable[[F], F]:
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


def option_name(field: str) -> str:
    """The option that sets a field of QueueOptions, such as `--max-retries`."""
    return f"--{NAMES[field]}" if field in NAMES else option_of(field)


def word_of(value: object) -> str:
    """The value of a field in words, as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and value.is_integer() and value < 1e15:
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "no limit" if value is None else str(value)
