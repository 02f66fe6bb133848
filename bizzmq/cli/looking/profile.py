"""`bizzmq profile`: where running messages spend their time."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bizzmq.admin.explain.kept_profile import read_profile_of
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.cancel import by_option
from bizzmq.cli.helpers import Duration, naming_options
from bizzmq.cli.tables import table
from bizzmq.control import pool_requests
from bizzmq.errors import ConfigurationError, NotRunningError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.pool_request import request_id
from bizzmq.protocol.profile import KeptProfile, Profile, joined, read_profile
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError
from bizzmq.utils.standard_streams import show
from bizzmq.utils.wording import utc

_MOST_ROWS = 20


@click.command()
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--task", metavar="TASK", default="", help="Without ID: all running messages of this task.")
@click.option("--queue", "-q", metavar="QUEUE", help="Only pools that serve this queue.")
@click.option("--for", "for_s", type=Duration(), default="10s", show_default=True, metavar="DURATION",
              allow_from_autoenv=False, help="For how long, at most 240 s.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the samples for https://www.speedscope.app.")  # fmt: skip
@click.option("--kept", is_flag=True, help="What was kept of the message, also while it runs.")
@by_option
@click.pass_obj
@naming_options()
def profile(
    redis_url: str, message_id: str | None, *, task: str, queue: str | None, for_s: float, output: Path | None,
    kept: bool, by: str,
) -> None:  # fmt: skip
    """Sample what a running message executes, or all running messages of a task, on all hosts.

    Of a message that does not run now, this shows what a pool with `--autopsy-after` has kept: of a dead letter, for
    example. The stacks are those of faulthandler: they show C code's callers too, and cost a handler at most 1 % of its
    time.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        what = pool_requests.checked_profile(k, message_id or "", task, for_s, by)
        if kept and not message_id:
            raise ConfigurationError("--kept is of a message: name its id")
        found = _kept(broker, k, message_id) if kept and message_id else _sampled(broker, what)
    name = message_id or task
    if not found.count:
        raise CommandError(logs.escape(f"no sample of {name}: none of its messages has run meanwhile"), FAILED)
    _show(found)
    if output is not None:
        output.write_text(json.dumps(found.speedscope(name)), encoding="utf-8")


def _sampled(broker: Broker, what: pool_requests.ProfileAsk) -> Profile:
    """The samples of now; of a message that does not run, those that were kept."""
    try:
        asked = broker.perform(
            pool_requests.send_profile(what, [request_id() for _ in range(pool_requests.MOST_POOLS)])
        )
    except NotRunningError:
        found = broker.perform(read_profile_of(what.k, as_bytes(what.message)))
        if found is None:
            raise
        return _about(found)
    answers = [
        pool_requests.answer_within(
            lambda operation, *arguments: broker.perform(operation(*arguments)), one,
            what.for_s + pool_requests.TIMEOUT_S,
        )
        for one in asked
    ]  # fmt: skip
    return joined([read_profile(answer.encode()) for answer in answers])


def _kept(broker: Broker, k: QueueKeys | None, message_id: str) -> Profile:
    found = broker.perform(read_profile_of(k, as_bytes(message_id)))
    if found is None:
        raise CommandError(
            logs.escape(f"nothing is kept of message {message_id}: has its pool --autopsy-after?"), FAILED
        )
    return _about(found)


def _about(found: KeptProfile) -> Profile:
    """What was kept, after a line that says of what."""
    worker = logs.escape(found.worker)
    show(f"delivery {found.delivery} on {worker}, until it had run for {found.ran_s:.1f} s, {utc(found.at_s)}")
    return found.profile


def _show(found: Profile) -> None:
    missed = f", {found.missed} missed" if found.missed else ""
    show(f"{found.count} samples, one each {found.interval_s * 1000:g} ms{missed}")
    rows = [
        [f"{one.own:.1%}", f"{one.total:.1%}", logs.escape(one.function), logs.escape(f"{one.file}:{one.line}")]
        for one in found.functions()[:_MOST_ROWS]
    ]
    table(rows, ("own", "total", "function", "where"), optional=())
