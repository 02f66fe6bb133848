"""Shared parts of the subcommands: option types, results, and the confirmation of a deletion."""

from __future__ import annotations

import math
import re
import sys
from contextlib import contextmanager
from typing import Any, Container, Iterable, Iterator, Mapping

import click

from bizzmq.app.description import AppDescription
from bizzmq.broker.broker import open_broker
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ConfigurationError, QueueNotFoundError
from bizzmq.queue import QueueOptions
from bizzmq.utils import console, logs
from bizzmq.utils.console import FAILED, INTERRUPTED, CommandError
from bizzmq.utils.standard_streams import OutputError, show, show_on_stderr

_CANNOT_IMPORT = 2

_SETTING = re.compile(r"\b[a-z]+(?:_[a-z]+)*\b")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|d|w)?\Z")
_UNITS_S = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

yes_option = click.option("--yes", is_flag=True, allow_from_autoenv=False, help="Do not ask first. A script needs it.")
"""Consent to a deletion. Only the command line can give it: an environment variable also affects later commands."""


class Number(click.FloatRange):
    """A finite number. click's FloatRange accepts NaN, for which every comparison is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class Duration(Number):
    """A time span such as 90, 90s, 5m, 2h, 7d or 1w, as seconds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _DURATION.match(str(value).strip())
        if found is not None:
            return super().convert(float(found[1]) * _UNITS_S[found[2]], param, ctx)
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is no time span: write 90s, 5m, 2h, 7d or 1w", param, ctx)
        return super().convert(seconds, param, ctx)


def option_of(setting: str) -> str:
    """The command-line option for a setting: `--retry-backoff` for `retry_backoff_s`."""
    return "--" + (setting[:-2] if setting.endswith("_s") else setting).replace("_", "-")


@contextmanager
def naming_options(**others: str) -> Iterator[None]:
    """A context manager: an error about settings names the options of the command instead.

    Args:
        others: setting -> option, for settings whose option has another name.
    """
    try:
        yield
    except ConfigurationError as error:
        params = click.get_current_context().command.params
        known = {name for param in params if isinstance(param, click.Option) for name in param.opts}
        raise ConfigurationError(with_options(str(error), known, others)) from None


def with_options(text: str, known: Container[str], others: Mapping[str, str] | None = None) -> str:
    """The text of an error with options for the names of settings: for its first word, and for those with a `_`."""

    def option(found: re.Match[str]) -> str:
        name = found[0]
        named = f"--{others[name]}" if others and name in others else option_of(name)
        return named if named in known and (found.start() == 0 or "_" in name) else name

    return _SETTING.sub(option, text)


def show_done(text: str) -> None:
    """Show the result of a command. Raises CommandError with the same text if stdout cannot be written."""
    try:
        show(text)
    except OutputError as error:
        raise CommandError(f"{text}, but {console.unwritable(error)}", FAILED) from None


def counted(count: int, what: str) -> str:
    """A number of things: `1 message`, `1,200 messages`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def show_count(steps: Iterable[int], what: str, done: str) -> None:
    """Run the steps of a command, each of which yields a number of messages, and show the sum: `2 messages deleted`.

    Raises:
        CommandError: a step failed or was interrupted, or stdout cannot be written. The text contains the sum so far.
        QueueNotFoundError: there is no such queue.
    """
    count = 0
    try:
        for step_count in steps:
            count += step_count
    except KeyboardInterrupt:
        raise CommandError(f"interrupted; at least {counted(count, what)} {done}", INTERRUPTED) from None
    except BrokerUnavailableError as error:
        raise CommandError(f"Redis is unavailable: {error}; at least {counted(count, what)} {done}", FAILED) from error
    except BizzMQError as error:
        if count == 0 and isinstance(error, QueueNotFoundError):
            raise
        raise CommandError(f"{error}; {counted(count, what)} {done}", FAILED) from error
    show_done(f"{counted(count, what)} {done}")


def create_implicitly(redis_url: str, queue: str, shards: int | None) -> None:
    """Create a queue with a dead-letter queue if it does not exist. A later `create` can still choose its options."""
    with open_broker(redis_url) as broker:
        wanted = QueueOptions(config_dead_letter_queue=True, shards=shards or 1)
        is_new = broker.create(queue, wanted, implicit=True)
        stored = len(broker.shards(queue)) if shards and not is_new else shards
    if stored != shards:
        show_on_stderr(f"Warning: {queue} exists: --shards {shards} asked, {stored} stored, which stays")


def confirm_deletion(what: str, yes: bool) -> None:
    """Return if the user agrees to a deletion. Raises as `confirm`."""
    confirm(f"delete {what} for good", "nothing was deleted", yes)


def confirm(act: str, otherwise: str, yes: bool) -> None:
    """Return if the user agrees, with --yes or by answering on a terminal.

    Args:
        act: what is done, such as `delete 2 messages of q`.
        otherwise: what is said if the user does not agree.

    Raises:
        click.UsageError: there is no terminal, so --yes is required.
        CommandError: the user does not agree.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        verb, _, what = act.partition(" ")
        raise click.UsageError(f"this {verb}s {what}, and there is no terminal to ask on: add --yes")
    question = f"{act[0].upper()}{logs.escape(act[1:])}? [y/N]: "
    try:
        show_on_stderr(question, end="")
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        show_on_stderr("")
        raise CommandError(otherwise, INTERRUPTED) from None
    except (OSError, ValueError):  # the terminal has gone, or the answer is not text
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        if not answer.endswith("\n"):
            show_on_stderr("")  # end the line of the question
        raise CommandError(otherwise, FAILED)


def app_of(target: str, *, is_lenient: bool = False) -> AppDescription | None:
    """What the app that this names declares; None for a plain handler. A process of its own imports the module.

    Args:
        is_lenient: also None for what cannot be imported.

    Raises:
        ConfigurationError: the target names nothing.
        CommandError: it cannot be imported; the traceback is shown.
    """
    from bizzmq.workers.config import WorkerConfig  # noqa: PLC0415 - it brings the whole pool along
    from bizzmq.workers.worker import description  # noqa: PLC0415 - the same

    try:
        return description.described(WorkerConfig(target)).description
    except description.DescriptionError as error:
        if is_lenient:
            return None
        for text in filter(None, (error.printed, error.failure.traceback.rstrip())):
            show_on_stderr(text)
        raise CommandError(error.failure.error, _CANNOT_IMPORT) from None
