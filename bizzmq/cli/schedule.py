"""`bizzmq schedule`: add, list, show, pause, resume, run and remove schedules."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Sequence

import click

from bizzmq.broker.broker import Broker, open_broker
from bizzmq.broker.operations import read_time_ms
from bizzmq.cli.helpers import Duration, app_of, naming_options, show_done
from bizzmq.cli.input_lines import NO_ARGUMENTS, read_document
from bizzmq.cli.publish import unique_options
from bizzmq.cli.tables import table
from bizzmq.client import BizzMQ
from bizzmq.errors import ConfigurationError
from bizzmq.message import MessageOptions
from bizzmq.properties import checked_task
from bizzmq.protocol import encryption, sealing, signing
from bizzmq.protocol.envelope import encode_body
from bizzmq.protocol.keys import QueueKeys
from bizzmq.schedules import operations
from bizzmq.schedules.client import MAX_TIMES, checked_pause
from bizzmq.schedules.cron import UTC, zone_of
from bizzmq.schedules.info import ScheduleInfo
from bizzmq.schedules.schedule import ALLOW, LAST, MISSED, OVERLAP, checked_options, new_schedule
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError, Group, not_empty
from bizzmq.utils.standard_streams import show as show_line
from bizzmq.utils.wording import utc

_HEAD = ("name", "queue", "task", "when", "next", "last", "state")
_SHOWN = 10_000
queue_option = click.option("--queue", "-q", metavar="QUEUE", help="Search only this queue.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group(cls=Group)
def schedule() -> None:
    """Manage schedules: messages that are published again and again."""


@schedule.command()
@click.argument("name")
@click.argument("queue")
@click.argument("document", metavar="[JSON]", default=None, required=False)
@click.option("--cron", callback=not_empty, metavar="LINE", help="When: five fields, such as '0 3 * * *', or @daily.")
@click.option("--every", type=Duration(min=1), metavar="TIME", help="When: the interval, such as 90, 90s, 5m, 2h.")
@click.option("--timezone", default=UTC, show_default=True, metavar="ZONE", help="The time zone of --cron.")
@click.option("--missed", type=click.Choice(MISSED), default=LAST, show_default=True,
              help="After downtime: publish once, wait for the next time, or publish for each time.")  # fmt: skip
@click.option("--overlap", type=click.Choice(OVERLAP), default=ALLOW, show_default=True,
              help="While the last message is not finished: publish nevertheless, leave this time out, or publish once "
              "as soon as it is finished.")  # fmt: skip
@click.option("--jitter", type=Duration(min=0), default=0.0, metavar="TIME",
              help="Delay each message by a random time of up to this.")  # fmt: skip
@click.option("--task", callback=not_empty, metavar="NAME",
              help="Publish for this task: JSON is an object of its arguments.  [default: {}]")  # fmt: skip
@click.option("--app", callback=not_empty, metavar="MODULE:APP", help="Check that this app has the task.")
@click.option("--priority", type=int, default=0, help="Higher is handled first.  [default: 0]")
@click.option("--retries", type=click.IntRange(min=0), help="Overrides the queue's number of retries.")
@click.option("--delay", type=Duration(min=0), default=0.0, metavar="TIME", help="Delay each message by this time.")
@click.option("--timeout", type=Duration(min=0, min_open=True), metavar="TIME",
              help="The time limit of one delivery.")  # fmt: skip
@click.option("--result-ttl", type=Duration(min=0), default=0.0, metavar="TIME", help="How long results are kept.")
@click.option("--key", callback=not_empty, metavar="TEXT", help="As for bizzmq publish.")
@unique_options
@click.pass_obj
def add(
    redis_url: str,
    name: str,
    queue: str,
    document: str | None,
    *,
    cron: str | None,
    every: float | None,
    timezone: str,
    missed: str,
    overlap: str,
    jitter: float,
    task: str | None,
    app: str | None,
    priority: int,
    retries: int | None,
    delay: float,
    timeout: float | None,
    result_ttl: float,
    key: str | None,
    unique_key: str | None,
    unique_until: str,
    unique_for: float | None,
    expires: float | None,
) -> None:
    """Add the schedule NAME, which publishes JSON to QUEUE. Its pools publish it, each time exactly once."""
    if (cron is None) == (every is None):
        raise click.UsageError("name either --cron or --every, such as --cron '0 3 * * *' or --every 60")
    with naming_options():
        options = checked_options(cron, every, timezone, missed, overlap, jitter)
        message = MessageOptions(
            priority, retries, delay, timeout, result_ttl_s=result_ttl, key=key or "", unique_key=unique_key or "",
            unique_until=unique_until, unique_for_s=unique_for, expires_s=expires,
        )  # fmt: skip
    version = _version_of(task, queue, app)
    body = encode_body(_body(document, task))
    with naming_options():
        wanted = new_schedule(name, queue, options, body, message, checked_task(task) if task else "", version)
    with open_broker(redis_url) as broker:
        info = broker.perform(operations.put(wanted, sealing.from_environment(), is_new=True))
    show_done(f"{name} added, next at {_moment(info.next_at_s)}")


def _body(document: str | None, task: str | None) -> Any:
    if document is None and not task:
        raise click.UsageError('name the message: JSON, such as \'{"to": "ada"}\'')
    body = {} if document is None else read_document(document, "the argument")
    if task and not isinstance(body, dict):
        raise click.UsageError(f"the argument is {NO_ARGUMENTS}")
    return body


def _version_of(task: str | None, queue: str, target: str | None) -> int:
    """The version of the arguments of a task: 1 if no app is named. Raises ConfigurationError."""
    if target is None:
        return 1
    app = app_of(target)
    found = None if app is None else next((one for one in app.tasks if one.name == task), None)
    if app is None or found is None:
        known = ", ".join(one.name for one in app.tasks) if app else "no tasks"
        raise ConfigurationError(f"{target} has no task {task!r}; it has {known}")
    if queue not in app.queues:
        raise ConfigurationError(f"{target} has no queue {queue!r}; it has {', '.join(app.queues)}")
    return found.version


@schedule.command("list")
@queue_option
@json_option
@click.pass_obj
def list_(redis_url: str, queue: str | None, as_json: bool) -> None:
    """List schedules. One that is `undeclared` fires, but the code of its app no longer declares it."""
    with open_broker(redis_url) as broker:
        found = broker.perform(operations.read_schedules(_keys(broker, queue)))
    if as_json:
        show_line(json.dumps([one.as_dict() for one in found]))
        return
    table([_row(one) for one in found], _HEAD, optional=("task", "last", "queue"), cut={"name": 12, "task": 12})


@schedule.command()
@click.argument("name")
@queue_option
@json_option
@click.pass_obj
def show(redis_url: str, name: str, queue: str | None, as_json: bool) -> None:
    """Show the schedule NAME."""
    with open_broker(redis_url) as broker:
        info = broker.perform(operations.find_schedule(_keys(broker, queue), name)).info()
    if as_json:
        show_line(json.dumps(info.as_dict()))
        return
    for field, value in info.as_dict().items():
        if value not in (None, "", {}) or field == "body":
            show_line(f"{field:<15} {_shown(field, value)}")


@schedule.command("next")
@click.argument("name")
@click.option("-n", "count", type=click.IntRange(1, MAX_TIMES), default=10, show_default=True, metavar="N",
              help="How many times.")  # fmt: skip
@queue_option
@json_option
@click.pass_obj
def next_(redis_url: str, name: str, count: int, queue: str | None, as_json: bool) -> None:
    """Show the next times of the schedule NAME, in its time zone."""
    with open_broker(redis_url) as broker:
        stored = broker.perform(operations.find_schedule(_keys(broker, queue), name))
        times_ms = operations.next_times(stored, count, broker.perform(read_time_ms()))
    zone = zone_of(stored.info().timezone)
    times = [datetime.fromtimestamp(time_ms / 1000, zone).isoformat(timespec="seconds") for time_ms in times_ms]
    if as_json:
        show_line(json.dumps(times))
        return
    for time in times:
        show_line(time)


@schedule.command()
@click.argument("name")
@click.option("--by", callback=not_empty, metavar="WHO", help="Who pauses it.  [default: your user]")
@click.option("--why", default="", metavar="TEXT", help="The reason, to be shown.")
@click.option("--until", callback=not_empty, metavar="TIME",
              help="When it resumes by itself: ISO 8601 with an offset, such as 2026-12-24T18:00+01:00.")  # fmt: skip
@queue_option
@click.pass_obj
def pause(redis_url: str, name: str, *, by: str | None, why: str, until: str | None, queue: str | None) -> None:
    """Stop the schedule NAME until it is resumed. What it would have published meanwhile is left out."""
    with naming_options():
        facts = checked_pause(by, why, _parsed(until))
    with open_broker(redis_url) as broker, naming_options():
        broker.perform(operations.pause(_keys(broker, queue), name, *facts))
    show_done(f"{name} paused")


def _parsed(until: str | None) -> datetime | None:
    if until is None:
        return None
    try:
        moment = datetime.fromisoformat(until[:-1] + "+00:00" if until.endswith("Z") else until)
    except ValueError:
        raise click.UsageError(f"--until is no time such as 2026-12-24T18:00+01:00: {until!r}") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"--until needs an offset, such as {until}+01:00 or {until}Z")
    return moment


@schedule.command()
@click.argument("name")
@queue_option
@click.pass_obj
def resume(redis_url: str, name: str, queue: str | None) -> None:
    """End the pause of the schedule NAME. It fires next at its next time."""
    with open_broker(redis_url) as broker:
        info = broker.perform(operations.resume(_keys(broker, queue), name))
    show_done(f"{name} active, next at {_moment(info.next_at_s)}")


@schedule.command()
@click.argument("name")
@queue_option
@click.pass_obj
def run(redis_url: str, name: str, queue: str | None) -> None:
    """Publish the message of the schedule NAME now, besides its times, and show the message's id."""
    signing_keys, encryption_keys = signing.keys_from_environment(), encryption.keys_from_environment()
    with BizzMQ(redis_url, signing_keys=signing_keys, encryption_keys=encryption_keys) as mq:
        message_id = mq.run_schedule(name, queue)
    show_done(message_id)


@schedule.command()
@click.argument("name", required=False)
@click.option("--prune", is_flag=True, help="Remove all that the code of their app no longer declares.")
@queue_option
@click.pass_obj
def remove(redis_url: str, name: str | None, *, prune: bool, queue: str | None) -> None:
    """Remove the schedule NAME. The messages that it has published stay."""
    if (name is None) == (not prune):
        raise click.UsageError("name either a schedule or --prune")
    with open_broker(redis_url) as broker:
        k = _keys(broker, queue)
        if name is None:
            removed = [one.name for one in broker.perform(operations.prune(k))]
        else:
            removed = [name] if broker.perform(operations.remove(k, name)) else []
    if name is not None and not removed:
        where = "no queue has a" if queue is None else f"queue {queue!r} has no"
        raise CommandError(logs.escape(f"{where} schedule {name!r}"), FAILED)
    show_done(logs.escape(f"removed: {', '.join(removed)}") if removed else "nothing to remove")


def _keys(broker: Broker, queue: str | None) -> QueueKeys | None:
    return None if queue is None else broker.keys(queue)


def _row(info: ScheduleInfo) -> Sequence[Any]:
    return [
        info.name, info.queue, info.task or "-", info.when, _moment(info.next_at_s), _moment(info.last_at_s),
        info.state,
    ]  # fmt: skip


def _moment(at_s: float | None) -> str:
    return "never" if at_s is None else utc(at_s)


def _shown(field: str, value: Any) -> str:
    if field.endswith("_at_s"):
        return utc(value)
    if field == "pause":
        until = "" if value["until_s"] is None else f" until {utc(value['until_s'])}"
        why = f": {value['why']}" if value["why"] else ""
        return logs.escape(f"by {value['by'] or 'somebody'} since {utc(value['since_s'])}{until}{why}")
    return logs.escape(logs.cut(value if isinstance(value, str) else json.dumps(value), _SHOWN))
