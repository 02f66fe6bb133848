"""What several of the operator's commands need: an open broker, and consent."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager
from typing import Any, Iterable, Iterator

import click

from bizzmq import console, embedded, logs
from bizzmq.broker import Broker
from bizzmq.connections import connect
from bizzmq.console import FAILED, INTERRUPTED, CommandError
from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.queue import QueueOptions
from bizzmq.streams import OutputError, say, show
from bizzmq.url import check_url


class Number(click.FloatRange):
    """A finite number; click's own range lets NaN through, which no comparison holds back."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


@contextmanager
def open_broker(redis_url: str) -> Iterator[Broker]:
    """The transitions on that server, for the time of a command."""
    server = embedded.join(redis_url) if embedded.is_embedded(redis_url) else None
    connection = connect(server.url if server else check_url(redis_url))
    try:
        yield Broker(connection)
    finally:
        connection.drop()
        if server is not None:
            server.close()


def show_done(text: str) -> None:
    """Show what was done. Raises CommandError, which says it all the same, if stdout cannot be written."""
    try:
        show(text)
    except OutputError as error:
        raise CommandError(f"{text}, but {console.unwritable(error)}", FAILED) from None


def show_count(steps: Iterable[int], what: str) -> None:
    """Go through the steps of a command, each of which gives how many messages it has settled, and show the sum.

    Raises:
        CommandError: it was stopped half-way, or the sum cannot be shown; the text says how many were settled.
    """
    count = 0
    try:
        for settled in steps:
            count += settled
    except KeyboardInterrupt:
        raise CommandError(f"interrupted; at least {count} {what}", INTERRUPTED) from None
    except BrokerUnavailableError as error:
        raise CommandError(f"Redis is unavailable: {error}; at least {count} {what}", FAILED) from error
    except BizzMQError as error:
        raise CommandError(f"{error}; {count} {what}", FAILED) from error
    show_done(f"{count} {what}")


def create_implicitly(redis_url: str, queue: str, shards: int | None) -> None:
    """Create a queue with a dead-letter queue if it is not there, in a way that leaves its options to be chosen."""
    with open_broker(redis_url) as broker:
        wanted = QueueOptions(config_dead_letter_queue=True, shards=shards or 1)
        is_new = broker.create(queue, wanted, implicit=True)
        there = len(broker.shards(queue)) if shards and not is_new else shards
    if there != shards:
        say(f"Warning: {queue} exists: --shards {shards} asked, {there} stored, which stays")


def confirm_deletion(what: str, yes: bool) -> None:
    """Return if the user agrees: by --yes, or by an answer on a terminal.

    Raises:
        click.UsageError: nobody can be asked; --yes is needed.
        CommandError: the user does not agree.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"this deletes {what} for good, and there is no terminal to ask on: add --yes")
    question = f"Delete {logs.escape(what)} for good? [y/N]: "
    try:
        say(question, end="")
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        say("")
        raise CommandError("nothing was deleted", INTERRUPTED) from None
    except (OSError, ValueError):  # the terminal has gone, or says what is no text
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        if not answer.endswith("\n"):
            say("")  # the line of the question ends here
        raise CommandError("nothing was deleted", FAILED)
