"""`bizzmq pool`: the status of a pool on this machine, worker by worker, and requests to pools on any host."""

from __future__ import annotations

import json
import sys
from typing import Any, Container, Iterator, Mapping, Sequence

import click

from bizzmq.broker.broker import open_broker
from bizzmq.cli.cancel import by_option
from bizzmq.cli.looking.stack import timeout_option
from bizzmq.cli.tables import ago, show_folded, table
from bizzmq.control import pool_requests
from bizzmq.errors import PoolSilentError
from bizzmq.protocol.pool_request import ACTS
from bizzmq.utils import clock, logs
from bizzmq.utils.standard_streams import show
from bizzmq.workers.control.client import ask, find
from bizzmq.workers.control.control_socket import AUTO, STATUS

_REFRESH_S = 1.0
_CLEAR = "\x1b[H\x1b[2J"
_HEAD = (
    "slot", "pid", "state", "queue", "task", "message", "running", "memory", "cpu", "handled", "failed", "restarts",
    "died", "last death",
)  # fmt: skip
_MEGABYTE = 1024 * 1024


@click.command()
@click.argument("action", metavar="[ACTION]", type=click.Choice(ACTS), required=False)
@click.option("--id", "pool_id", metavar="POOL", allow_from_autoenv=False,
              help="The pool that is asked, on any host: its id, as bizzmq pools --json shows it.")  # fmt: skip
@by_option
@timeout_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@click.option("--watch", is_flag=True, help="Repeat each second, until interrupted or until the pool ends.")
@click.option("--control", default=AUTO, metavar="PATH", envvar="BIZZMQ_WORKER_CONTROL",
              help="The pool's control socket.  [default: the one of your only pool]")  # fmt: skip
@click.pass_obj
def pool(
    redis_url: str, *, action: str | None, pool_id: str | None, by: str, timeout_s: float, as_json: bool, watch: bool,
    control: str,
) -> None:  # fmt: skip
    """Show the status of a pool on this machine, worker by worker, without Redis; or ask a pool on any host.

    ACTION asks the pool POOL through Redis: reload; quiet claims nothing more; resume claims again; more and fewer
    change the number of its workers by one. The pool does it once or not at all.
    """
    if action is not None or pool_id is not None:
        if action is None or pool_id is None:
            raise click.UsageError("name both: what the pool is to do, and the pool by --id")
        _ask(redis_url, pool_id, action, by, timeout_s)
        return
    path = find(control)
    while True:
        text = ask(path, STATUS)
        status = _decode(text)
        if watch and not as_json and sys.stdout.isatty():
            show(_CLEAR, end="")
        if as_json:
            show(text)
        else:
            try:
                _show(status)
            except (KeyError, TypeError) as error:
                raise PoolSilentError("the reply is not from a pool of this version: --json shows it") from error
        if not watch:
            return
        clock.sleep(_REFRESH_S)


def _ask(redis_url: str, pool_id: str, action: str, by: str, timeout_s: float) -> None:
    ask = pool_requests.new_ask(pool_id, pool_requests.checked_act(action, by))
    with open_broker(redis_url) as broker:
        asked = broker.perform(pool_requests.send(None, ask))
        text = pool_requests.answer_within(
            lambda operation, *arguments: broker.perform(operation(*arguments)), asked, timeout_s
        )
    show(logs.escape(text))


def _decode(text: str) -> Mapping[str, Any]:
    try:
        status = json.loads(text)
    except ValueError as error:
        raise PoolSilentError("the reply is not from a pool") from error
    if not isinstance(status, dict) or "slots" not in status:
        raise PoolSilentError("the reply is not from a pool")
    return status


def _show(status: Mapping[str, Any]) -> None:
    for line in _summary(status):
        show_folded(line)
    slots = status["slots"]
    rows, head = [_row(slot) for slot in slots], list(_HEAD)
    if not any(row[head.index("task")] for row in rows):  # plain handlers
        rows = [[cell for name, cell in zip(head, row) if name != "task"] for row in rows]
        head.remove("task")
    left_out = table(
        rows,
        head,
        optional=("restarts", "cpu", "memory", "failed", "last death", "handled", "message"),
        cut={"last death": 24, "task": 12, "queue": 10, "message": 20},
    )
    for line in _notes(slots, left_out):
        show_folded(line)


def _notes(slots: Sequence[Mapping[str, Any]], left_out: Container[str]) -> Iterator[str]:
    """What is said below the table: also what had no room in it."""
    for slot in slots:
        if slot["message"] and "message" in left_out:
            yield f"the worker of slot {slot['slot']} runs message {slot['message']}"
    for slot in slots:
        if slot.get("note"):
            yield f"the worker of slot {slot['slot']} {slot['note']}: try --preload off"
    for slot in slots:
        if slot["last_death"] and "last death" in left_out:
            yield f"the last worker of slot {slot['slot']} {_death(slot)}"


def _summary(status: Mapping[str, Any]) -> list[str]:
    why_not = f" (not ready: {status['not_ready']})" if status["not_ready"] else ""
    queues = [
        queue["queue"] + (f" (closed for {queue['closed_for_s']:.0f} s)" if queue["closed_for_s"] else "")
        for queue in status["queues"]
    ]
    least, most = status["min_workers"], status["max_workers"]
    scaling = f" (scaled from {least} to {most})" if least < most else ""
    lines = [
        (
            f"pool {status['pid']}, {status['state']}{why_not}, up {_duration(status['uptime_s'])}, "
            f"bizzmq {status['version']}, {status['supervisor']}"
        ),
        (
            f"workers {status['working']} of {status['target_workers']}{scaling}, handled {status['handled']:,}, "
            f"failed {status['failed']:,}, deaths {status['deaths']:,}"
        ),
        f"queues {', '.join(queues)}; Redis {'is away' if status['redis_away'] else 'is there'}",
        (
            f"template {status['template']['pid']} {status['template']['state']}, janitor {status['janitor_pid']}, "
            f"reloads {status['reloads']}, generation {status['generation']}"
        ),
    ]
    lines += [
        f"queue {queue['queue']} is set aside: {queue['aside']}" for queue in status["queues"] if queue.get("aside")
    ]
    lines += [queue["paused"] for queue in status["queues"] if queue.get("paused")]
    if status["last_reload_error"]:
        lines.append(f"the last reload failed: {status['last_reload_error']}")
    return lines


def _row(slot: Mapping[str, Any]) -> list[Any]:
    waits = f" {slot['starts_in_s']:.0f} s" if slot["starts_in_s"] else ""
    return [
        str(slot["slot"]),
        str(slot["pid"] or ""),
        slot["state"] + waits,
        slot["queue"],
        slot.get("task", ""),
        slot["message"],
        "" if slot["running_for_s"] is None else _duration(slot["running_for_s"]),
        "" if slot["memory_bytes"] is None else f"{slot['memory_bytes'] / _MEGABYTE:.1f} MB",
        "" if slot["cpu_percent"] is None else f"{slot['cpu_percent']:.0f}%",
        slot["handled"],
        slot["failed"],
        slot["restarts"],
        "" if slot.get("last_death_ago_s") is None else ago(slot["last_death_ago_s"]),
        slot["last_death"],
    ]


def _death(slot: Mapping[str, Any]) -> str:
    """How the slot's last worker died, and when. Pools of the previous version do not report the time."""
    death, past_s = str(slot["last_death"]), slot.get("last_death_ago_s")
    return f"{death}, {ago(past_s)}" if death and past_s is not None else death


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
