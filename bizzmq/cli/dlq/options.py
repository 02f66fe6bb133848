"""The options of the commands for dead letters: filters, and how to replay."""

from __future__ import annotations

from typing import Any, Callable, Sequence, TypeVar

import click

from bizzmq.cli.helpers import Duration
from bizzmq.dead_letters.filters import LetterFilter, checked_filter

F = TypeVar("F", bound=Callable[..., Any])


_FILTERS = [
    click.option("--task", metavar="NAME", help="Only those of this task."),
    click.option("--key", metavar="KEY", help="Only those with this key."),
    click.option("--error", "error_type", metavar="TYPE", help="Only those whose error has this type."),
    click.option("--fingerprint", metavar="HEX", help="Only those of this group: see bizzmq dlq groups."),
    click.option("--older", type=Duration(min=0), metavar="TIME", help="Only those that failed longer ago: 90s, 5m."),
    click.option("--text", metavar="TEXT", help="Only those whose error's text contains this, in any case."),
]  # fmt: skip
_REPLAY = [
    click.option("--rate", metavar="N/UNIT", help="The most messages in a time: 10/s, 100/m or 1000/h.  [default: no "
                 "limit]"),
    click.option("--edit", is_flag=True, allow_from_autoenv=False,
                 help="Edit the body and the options of one dead letter in $VISUAL or $EDITOR first."),
    click.option("--edited", metavar="FILE", allow_from_autoenv=False,
                 help="Take the edited text from a file, as --edit has kept it; with --edit, edit it further."),
    click.option("--pdb", "debug", is_flag=True, allow_from_autoenv=False,
                 help="Run one dead letter here, under Python's debugger, and change nothing in Redis."),
    click.option("--handler", metavar="MODULE:CALLABLE|MODULE:APP", help="What --pdb runs."),
]  # fmt: skip


def filters(function: F) -> F:
    """A decorator: the options that choose dead letters."""
    return _added(_FILTERS, function)


def replay_options(function: F) -> F:
    """A decorator: the options that say how dead letters are replayed."""
    return _added(_REPLAY, function)


def _added(options: Sequence[Callable[[F], F]], function: F) -> F:
    for add in reversed(options):
        function = add(function)
    return function


def taken_filter(given: dict[str, Any]) -> LetterFilter:
    """The filter of given options, which are removed. Raises ConfigurationError."""
    names = ("task", "key", "error_type", "fingerprint", "text")
    return checked_filter(**{name: given.pop(name) for name in names}, older_than_s=given.pop("older"))
