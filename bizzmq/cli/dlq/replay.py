"""The implementation of `bizzmq replay` and `bizzmq dlq replay`."""

from __future__ import annotations

import sys
from typing import Any, Callable, Iterator, NamedTuple, NoReturn, Sequence

import click

from bizzmq.admin import find
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.dlq.debugger import debug as debug_letter
from bizzmq.cli.dlq.editor import editing
from bizzmq.cli.dlq.options import filters, replay_options, taken_filter
from bizzmq.cli.helpers import naming_options, show_count, show_done
from bizzmq.dead_letters import edit
from bizzmq.dead_letters.edit import StoredLetter
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.letters import read_letter
from bizzmq.dead_letters.rates import Pace, checked_rate
from bizzmq.dead_letters.replay import Replay, replay_letter, replay_steps
from bizzmq.errors import ConfigurationError
from bizzmq.protocol import sealing
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError

NAMES = {"error_type": "error", "older_than_s": "older"}
"""The options of settings whose names differ."""


class ReplayOptions(NamedTuple):
    """The options of both commands."""

    wanted: LetterFilter
    rate: float | None
    edit: bool
    edited: str
    debug: bool
    handler: str

    @property
    def is_about_one(self) -> bool:
        return self.edit or bool(self.edited) or self.debug


@click.command("replay")
@click.argument("message_ids", metavar="[ID]...", nargs=-1)
@click.option("--queue", "-q", metavar="QUEUE", help="The queue or its dead-letter queue.  [default: the one that has "
              "the dead letter]")  # fmt: skip
@click.option("--all", "takes_all", is_flag=True, allow_from_autoenv=False, help="All dead letters of --queue.")
@filters
@replay_options
@click.pass_obj
def replay_command(
    redis_url: str, /, message_ids: tuple[str, ...], *, queue: str | None, takes_all: bool, **given: Any
) -> None:
    """Move dead letters back to their queue. They get as many attempts as new messages.

    Names them by their IDs, or takes all of --queue that pass the filters. --pdb runs one of them here instead.
    """
    options = taken_options(given)
    if message_ids and takes_all:
        raise click.UsageError("give IDs or --all, not both")
    if not message_ids and queue is None:
        raise click.UsageError("give the ID of a dead letter, or --queue with --all or with a filter")
    if not message_ids and options.wanted.is_open and not takes_all:
        raise click.UsageError("add --all to replay all dead letters of the queue, or a filter")
    replay(redis_url, queue, message_ids, options)


def taken_options(given: dict[str, Any]) -> ReplayOptions:
    """The options of a command line. Raises ConfigurationError, click.UsageError."""
    with naming_options(**NAMES):
        wanted, rate = taken_filter(given), checked_rate(given.pop("rate"))
    options = ReplayOptions(wanted, rate, given["edit"], given["edited"] or "", given["debug"], given["handler"] or "")
    if options.debug and not options.handler:
        raise click.UsageError("--pdb needs --handler MODULE:CALLABLE or MODULE:APP, which runs the message")
    if options.debug and (options.edit or options.edited):
        raise click.UsageError("--pdb runs the message as it is: leave out --edit and --edited")
    return options


def replay(redis_url: str, queue: str | None, message_ids: Sequence[str], options: ReplayOptions) -> None:
    """Replay, edit or debug dead letters.

    Args:
        queue: the queue, or its dead-letter queue; None searches all queues.
        message_ids: None named takes all that pass the filter.
    """
    if options.is_about_one and len(message_ids) != 1:
        raise click.UsageError("--edit, --edited and --pdb take exactly one ID")
    if message_ids and not options.wanted.is_open:
        raise click.UsageError("give IDs or filters, not both")
    with open_broker(redis_url) as broker:
        if options.is_about_one:
            letter = _stored(broker, queue, message_ids[0])
            if not options.debug:
                _replay_edited(broker, letter, options)
                return
        else:
            show_count(_steps(broker, queue, message_ids, options), "message", "replayed")
            return
    sys.exit(debug_letter(letter, options.handler, redis_url, sealing.from_environment()))


def missing(queue: str | None, message_id: str) -> NoReturn:
    """Raise ConfigurationError: there is no such dead letter."""
    where = f" in {queue!r}" if queue is not None else ""
    raise ConfigurationError(f"there is no dead letter {message_id!r}{where}")


def perform_by(broker: Broker) -> Callable[..., Any]:
    """A function that performs an operation over this broker."""
    return lambda operation, *arguments: broker.perform(operation(*arguments))


def _steps(broker: Broker, queue: str | None, message_ids: Sequence[str], options: ReplayOptions) -> Iterator[int]:
    perform, pace = perform_by(broker), Pace(options.rate)
    if not message_ids:
        assert queue is not None
        return replay_steps(perform, Replay(broker.keys(queue), options.wanted), pace)
    letters = []
    for message_id in message_ids:  # a wrong id is reported before anything is moved
        k = _keys(broker, queue, message_id)
        letters.append(perform(read_letter, k, as_bytes(message_id)) or missing(queue, message_id))
    return (_one(perform, letter, pace) for letter in letters)


def _one(perform: Callable[..., Any], letter: Any, pace: Pace) -> int:
    pace.wait()
    return int(perform(replay_letter, letter))


def _keys(broker: Broker, queue: str | None, message_id: str) -> QueueKeys:
    """The keys of the dead-letter queue that has a message, or that was named."""
    if queue is not None:
        return broker.keys(queue).dead_letters()
    found = broker.perform(find.find_message(None, as_bytes(message_id)))
    if found is None:
        missing(queue, message_id)
    k = broker.keys(found.queue)
    if not k.is_dead_letter_queue:
        raise ConfigurationError(f"{message_id!r} is no dead letter: it is {found.state} in {found.queue!r}")
    return k


def _stored(broker: Broker, queue: str | None, message_id: str) -> StoredLetter:
    k = _keys(broker, queue, message_id)
    letter = broker.perform(edit.read_stored_letter(k, as_bytes(message_id)))
    return letter or missing(queue, message_id)


def _replay_edited(broker: Broker, letter: StoredLetter, options: ReplayOptions) -> None:
    with editing(letter, options.edited, sealing.from_environment(), opens=options.edit) as changed:
        if not broker.perform(edit.replay_edited(changed)):
            text = "the dead letter was replayed, deleted or has failed again meanwhile, so nothing was replayed"
            raise CommandError(logs.escape(text), FAILED)
    show_done("1 message replayed, as edited")
