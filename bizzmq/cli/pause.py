"""`bizzmq pause` and `resume`."""

from __future__ import annotations

import click

from bizzmq.broker.broker import open_broker
from bizzmq.cli.cancel import by_option, reason_option
from bizzmq.cli.helpers import Duration, naming_options, show_done
from bizzmq.control import pause as pausing
from bizzmq.control.pause import PauseName
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError

_task = click.option("--task", metavar="TASK", default="", allow_from_autoenv=False, help="Only messages of this task.")
_key = click.option("--key", metavar="KEY", default="", allow_from_autoenv=False, help="Only messages with this key.")


@click.command()
@click.argument("queue")
@_task
@_key
@click.option("--for", "for_s", type=Duration(min=0, min_open=True), metavar="TIME", allow_from_autoenv=False,
              help="End it by itself after TIME, such as 15m or 2h.")  # fmt: skip
@by_option
@reason_option
@click.pass_obj
@naming_options()
def pause(redis_url: str, queue: str, *, task: str, key: str, for_s: float | None, by: str, reason: str) -> None:
    """Pause a queue, or its messages of a task or with a key, on all hosts. What is running finishes.

    A pause that holds already is replaced.
    """
    about, duration_ms = pausing.checked_about(by, reason), pausing.checked_duration_ms(for_s)
    with open_broker(redis_url) as broker:
        paused = pausing.checked_name(broker.keys(queue), task, key)
        broker.perform(pausing.pause(paused, about, duration_ms))
    show_done(f"{_what(paused)} is paused{f' for {for_s:g} s' if for_s else ''}")


@click.command()
@click.argument("queue")
@_task
@_key
@click.pass_obj
@naming_options()
def resume(redis_url: str, queue: str, *, task: str, key: str) -> None:
    """End a pause. What was put aside for it returns to the head of the queue, in its old order."""
    with open_broker(redis_url) as broker:
        resumed = pausing.checked_name(broker.keys(queue), task, key)
        if not broker.perform(pausing.resume(resumed)):
            raise CommandError(f"{_what(resumed)} was not paused", FAILED)
    show_done(f"{_what(resumed)} goes on")


def _what(named: PauseName) -> str:
    kind, _, name = named.name.partition(":")
    return logs.escape(f"{kind} {name} of {named.k.queue}" if kind in ("task", "key") else f"queue {named.k.queue}")
