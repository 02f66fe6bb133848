"""`bizzmq watch-alerts`: what is wrong on queues, sent once when it begins and once when it is over."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, TypeVar

import click

from bizzmq.alerts.rules import KINDS, Limits, Rules, check_queue
from bizzmq.alerts.senders import Sender, ToCommand, ToLog, ToWebhook, Tried
from bizzmq.alerts.watcher import Watcher
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.cli.helpers import Duration
from bizzmq.errors import BrokerUnavailableError, BrokerUnusableError, ConfigurationError
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED
from bizzmq.utils.secret_files import read_secret
from bizzmq.utils.standard_streams import show
from bizzmq.utils.stop_event import StopEvent

F = TypeVar("F", bound=Callable[..., Any])
_OFF = "off"
_LONGEST_S = 86_400.0 * 365
_FILE = click.Path(dir_okay=False, path_type=Path)
_Limit = Tuple[str, Optional[float]]


class _LimitOption(click.ParamType):  # type: ignore[type-arg]
    """`[QUEUE=]LIMIT`, where the limit is `off`, a time span, or a count. The queue is "" for all queues."""

    name = "limit"

    def __init__(self, *, is_time: bool, has_queue: bool) -> None:
        self._has_queue = has_queue
        number: Any = Duration(min=0, max=_LONGEST_S) if is_time else click.IntRange(1, 10**9)
        self._number = number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Limit:
        queue, equals, limit = str(value).rpartition("=")
        if equals and not self._has_queue:
            self.fail(f"{value!r} names a queue, and this is about Redis", param, ctx)
        if equals:
            try:
                check_queue(queue)
            except ConfigurationError as error:
                self.fail(str(error), param, ctx)
        return queue, None if limit == _OFF else float(self._number.convert(limit, param, ctx))


def _limit(kind: str, text: str) -> Callable[[F], F]:
    """The option that sets the limits of a kind of alert."""
    is_time, default = KINDS[kind].is_time, KINDS[kind].default
    has_queue = kind != "redis-away"
    metavar = f"{'[QUEUE=]' if has_queue else ''}{'SPAN' if is_time else 'N'}|off"
    shown = f"{default:g}s" if is_time and default % 60 else f"{default / 60:g}m" if is_time else f"{default:g}"
    return click.option(
        f"--{kind}", kind.replace("-", "_"), multiple=True, metavar=metavar,
        type=_LimitOption(is_time=is_time, has_queue=has_queue), help=f"{text}  [default: {shown}]",
    )  # fmt: skip


@click.command("watch-alerts")
@click.argument("queues", nargs=-1, metavar="[QUEUE]...")
@_limit("oldest-waiting", "The oldest waiting message was published longer ago.")
@_limit("dead-letters", "N messages were dead-lettered within 5 minutes.")
@_limit("worker-deaths", "N workers have died within 5 minutes: a crash loop.")
@_limit("no-worker", "Messages wait, and no worker serves the queue, for longer.")
@_limit("late-schedule", "A schedule is due for longer, and has not fired.")
@_limit("silent-pool", "The heartbeats of a pool are missing for longer.")
@_limit("unusable-queue", "The queue cannot be used, such as after a foreign write, for longer.")
@_limit("redis-away", "Redis is away for longer.")
@click.option("--webhook", metavar="URL", help="Where to POST alerts as JSON. Without it and --command: the log.")
@click.option("--webhook-token-file", type=_FILE, metavar="FILE", help="A token to send as Authorization: Bearer.")
@click.option(
    "--command", "command_line", metavar="COMMAND", help="What to run for each alert, with JSON on its stdin."
)
@click.option("--timeout", "timeout_s", type=Duration(min=0.1, max=600), default="10s", show_default=True,
              metavar="SPAN", help="How long one try to send may take.")  # fmt: skip
@click.option("--every", "every_s", type=Duration(min=1, max=3600), default="15s", show_default=True, metavar="SPAN",
              help="The time between two looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Look once, send what is new, and exit with 1 if an alert holds.")
@click.option("--log-format", type=click.Choice(logs.FORMATS, case_sensitive=False), default="text", show_default=True,
              help="Format of the log lines.")  # fmt: skip
@click.pass_obj
def watch_alerts(
    redis_url: str,
    /,
    *,
    queues: tuple[str, ...],
    webhook: str | None,
    webhook_token_file: Path | None,
    command_line: str | None,
    timeout_s: float,
    every_s: float,
    once: bool,
    log_format: str,
    **limits: tuple[_Limit, ...],
) -> None:
    """Watch QUEUES, or all queues, and send an alert once when it begins, and once when it is over.

    Limits can be set for one queue: --oldest-waiting 5m --oldest-waiting mail=1h --dead-letters tests=off.

    What is sent is noted in Redis: a watcher that is started again does not send it again, and of two watchers with
    the same options one does. With --once, it prints what holds, for cron.

    Exit codes: 0 no alert holds, or SIGTERM; 1 an alert holds (--once), or Redis is unavailable; 2 wrong input.
    """
    logs.configure("info", log_format)
    rules = Rules({kind: _limits_of(kind, limits[kind.replace("-", "_")]) for kind in KINDS}, queues)
    stop = StopEvent()
    sender = _sender(webhook, webhook_token_file, command_line, timeout_s, stop)
    with open_broker(redis_url) as broker:
        if once:
            _once(Watcher(broker, rules, sender))
        else:
            _watch(Watcher(broker, rules, sender, stop.wait), broker, every_s, stop)


def _limits_of(kind: str, given: tuple[_Limit, ...]) -> Limits:
    """The limits of a kind. Raises ConfigurationError if one is given twice."""
    found: Dict[str, Optional[float]] = {}
    for queue, limit in given:
        if queue in found:
            raise ConfigurationError(f"--{kind} is given twice for {queue or 'all queues'}")
        found[queue] = limit
    own: Mapping[str, Optional[float]] = {queue: limit for queue, limit in found.items() if queue}
    return Limits(found.get("", KINDS[kind].default), own)


def _sender(
    webhook: str | None, token_file: Path | None, command_line: str | None, timeout_s: float, stop: StopEvent
) -> Sender:  # fmt: skip
    """Where alerts go. Raises ConfigurationError."""
    if webhook is not None and command_line is not None:
        raise ConfigurationError("--webhook and --command: alerts go to one of them")
    if token_file is not None and webhook is None:
        raise ConfigurationError("--webhook-token-file has no effect without --webhook")
    if webhook is not None:
        token = read_secret(token_file) if token_file is not None else ""
        return Tried(ToWebhook(webhook, token, timeout_s), stop.wait)
    if command_line is not None:
        return Tried(ToCommand(command_line, timeout_s), stop.wait)
    return ToLog()


def _once(watcher: Watcher) -> None:
    held = watcher.look()
    for sentence in held:
        show(logs.escape(sentence))
    if held:
        sys.exit(FAILED)


def _watch(watcher: Watcher, broker: Broker, every_s: float, stop: StopEvent) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        stop.request()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        broker.ping()
    except BrokerUnusableError:
        raise  # no waiting cures it
    except BrokerUnavailableError:
        pass  # that is what the watcher is for
    while not stop.requested:
        watcher.look_or_note()
        stop.wait(every_s)
