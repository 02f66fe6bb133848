"""`bizzmq watch`: the progress of one message until it has ended."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import click

from bizzmq.admin.find import find_message
from bizzmq.admin.message_status import UNKNOWN, MessageStatus, read_status
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.protocol.keys import QueueKeys, logical_queue, owner_of
from bizzmq.utils import clock, logs
from bizzmq.utils.console import FAILED, CommandError
from bizzmq.utils.standard_streams import show

_INTERVAL_S = 0.5
_ENDED = ("succeeded", "dead_lettered", "discarded", "cancelled", "expired", UNKNOWN)
_MOST_COLUMNS = 80


@click.command()
@click.argument("message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="The message's queue; needed only if it has ended already.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for each change, a line each.")
@click.pass_obj
def watch(redis_url: str, message_id: str, *, queue: str | None, as_json: bool) -> None:
    """Show how far a message is, until it has ended: what its handler reports by `context.progress`.

    Exit code 0: it has succeeded, or has ended without a kept result. 1: it has failed for good, was cancelled or has
    expired, or no queue has it.
    """
    with open_broker(redis_url) as broker:
        k = _keys(broker, message_id, queue)
        view: _View = _Lines() if as_json or not sys.stdout.isatty() else _Bar()
        view.as_json = as_json
        while True:
            status = broker.perform(read_status(k, as_bytes(message_id)))
            view.show(status)
            if status.state in _ENDED:
                break
            clock.sleep(_INTERVAL_S)
    view.end()
    if status.state not in ("succeeded", UNKNOWN):
        sys.exit(FAILED)


def _keys(broker: Broker, message_id: str, queue: str | None) -> QueueKeys:
    if queue is not None:
        return broker.keys(queue)
    found = broker.perform(find_message(None, as_bytes(message_id)))
    if found is None:
        raise CommandError(
            logs.escape(f"no queue has the message {message_id}: if it has ended, name its --queue"), FAILED
        )
    return broker.keys(logical_queue(owner_of(found.queue)))


class _View:
    as_json = False

    def show(self, status: MessageStatus) -> None:
        raise NotImplementedError  # both views have it

    def end(self) -> None:
        """The message has ended."""


class _Lines(_View):
    """One line for each change."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, status: MessageStatus) -> None:
        line = json.dumps(_facts(status)) if self.as_json else text_of(status)
        if line != self._last:
            show(line)
            self._last = line


class _Bar(_View):
    """One line of the terminal, which is written over."""

    def __init__(self) -> None:
        self._width = 0

    def show(self, status: MessageStatus) -> None:
        columns = min(_MOST_COLUMNS, shutil.get_terminal_size().columns) - 1
        line = text_of(status, bar_columns=20)[:columns]
        show("\r" + line.ljust(self._width), end="")
        self._width = len(line)

    def end(self) -> None:
        show()


def text_of(status: MessageStatus, bar_columns: int = 0) -> str:
    """The status as one line: state, share, numbers, note."""
    parts = [status.state.replace("_", "-")]
    progress = status.progress
    if progress is not None and status.state not in _ENDED:
        amount = f"{progress.done:g}"
        if progress.total:
            share = max(0.0, min(1.0, progress.done / progress.total))
            filled = round(share * bar_columns)
            if bar_columns:
                parts.append(f"[{'#' * filled}{'.' * (bar_columns - filled)}]")
            parts.append(f"{share * 100:.0f} %")
            amount += f" of {progress.total:g}"
        parts.append(amount)
        if progress.note:
            parts.append(logs.escape(progress.note))
    error = status.error or {}
    if error.get("error_type"):
        parts.append(logs.escape(f"{error['error_type']}: {error.get('error', '')}"))
    return "  ".join(parts)


def _facts(status: MessageStatus) -> dict[str, Any]:
    progress = None if status.progress is None else status.progress._asdict()
    return {
        "id": status.id, "queue": status.queue, "state": status.state, "delivery": status.delivery,
        "progress": progress, "error": dict(status.error or {}),
    }  # fmt: skip
