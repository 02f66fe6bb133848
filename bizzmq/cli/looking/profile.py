"""`bizzmq profile`: where running messages spend their time."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bizzmq.broker.broker import open_broker
from bizzmq.cli.cancel import by_option
from bizzmq.cli.helpers import Duration
from bizzmq.cli.tables import table
from bizzmq.control import pool_requests
from bizzmq.protocol.pool_request import request_id
from bizzmq.protocol.profile import Profile, joined, read_profile
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError
from bizzmq.utils.standard_streams import show

_MOST_ROWS = 20


@click.command()
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--task", metavar="TASK", default="", help="Without ID: all running messages of this task.")
@click.option("--queue", "-q", metavar="QUEUE", help="Only pools that serve this queue.")
@click.option("--for", "for_s", type=Duration(), default="10s", show_default=True, metavar="DURATION",
              allow_from_autoenv=False, help="For how long, at most 240 s.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the samples for https://www.speedscope.app.")  # fmt: skip
@by_option
@click.pass_obj
def profile(
    redis_url: str, message_id: str | None, *, task: str, queue: str | None, for_s: float, output: Path | None, by: str
) -> None:
    """Sample what a running message executes, or all running messages of a task, on all hosts.

    The stacks are those of faulthandler: they show C code's callers too, and cost a handler at most 1 % of its time.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        what = pool_requests.checked_profile(k, message_id or "", task, for_s, by)
        asked = broker.perform(
            pool_requests.send_profile(what, [request_id() for _ in range(pool_requests.MOST_POOLS)])
        )
        answers = [
            pool_requests.answer_within(
                lambda operation, *arguments: broker.perform(operation(*arguments)), one,
                what.for_s + pool_requests.TIMEOUT_S,
            )
            for one in asked
        ]  # fmt: skip
    found = joined([read_profile(answer.encode()) for answer in answers])
    name = message_id or task
    if not found.count:
        raise CommandError(logs.escape(f"no sample of {name}: none of its messages has run meanwhile"), FAILED)
    _show(found)
    if output is not None:
        output.write_text(json.dumps(found.speedscope(name)), encoding="utf-8")


def _show(found: Profile) -> None:
    missed = f", {found.missed} missed" if found.missed else ""
    show(f"{found.count} samples, one each {found.interval_s * 1000:g} ms{missed}")
    rows = [
        [f"{one.own:.1%}", f"{one.total:.1%}", logs.escape(one.function), logs.escape(f"{one.file}:{one.line}")]
        for one in found.functions()[:_MOST_ROWS]
    ]
    table(rows, ("own", "total", "function", "where"), optional=())
