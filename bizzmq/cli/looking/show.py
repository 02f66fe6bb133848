"""`bizzmq show`: everything that is known of a message."""

from __future__ import annotations

import json
from typing import Any, Mapping

import click

from bizzmq.admin.explain.details import MessageDetails, read_details
from bizzmq.broker.broker import open_broker
from bizzmq.broker.replies import as_bytes
from bizzmq.cli.tables import show_folded
from bizzmq.protocol.history import MessageHistory
from bizzmq.protocol.profile import KeptProfile
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show
from bizzmq.utils.wording import utc

_SHOWN = 10_000
_BEFORE_THE_GAP = 2
"""Entries of a history before those that are left out."""
_MOST_FUNCTIONS = 5
_STACKS = ("traceback", "stack")
_TITLES = {
    "options": "options:",
    "attempts": "attempts:",
    "progress": "its progress:",
    "error": "the error by which it has failed:",
    "last_crash": "the last crash of a worker that was running it:",
    "handler_error": "the error of the dead-letter queue's own handler:",
    "result": "the result:",
}


@click.command("show")
@click.argument("message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="Search only this queue and its dead-letter queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show_message(redis_url: str, message_id: str, *, queue: str | None, as_json: bool) -> None:
    """Show a message: where it is and why, its body and options, its attempts, progress, errors and result."""
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        details = broker.perform(read_details(k, as_bytes(message_id)))
    if as_json:
        show(json.dumps(details.as_dict()))
        return
    _show(details)


def _show(details: MessageDetails) -> None:
    about = details.explanation
    _line("id", about.id)
    if about.queue:
        _line("queue", about.message.queue if about.message else about.queue)
    _line("state", about.state)
    if about.message is not None and about.message.published_at_s is not None:
        _line("published", utc(about.message.published_at_s))
    show_folded(about.sentence)
    for name, section in details.sections.items():
        _show_section(name, section)
    _show_history(details.history)
    if details.output:
        show("output:")
        for line in details.output.splitlines():
            show(f"  {logs.escape(line)}")
    if details.profile is not None:
        _show_profile(details.profile)
    if details.problem:
        _line("problem", details.problem)
    elif about.message is not None:
        show("body:")
        for line in logs.cut(json.dumps(details.body, indent=2), _SHOWN).splitlines():
            show(f"  {logs.escape(line)}")


def _show_profile(kept: KeptProfile) -> None:
    show(f"profile: of delivery {kept.delivery}, until it had run for {kept.ran_s:.1f} s: see bizzmq profile")
    for one in kept.profile.functions()[:_MOST_FUNCTIONS]:
        show(f"  {one.own:6.1%} {logs.escape(f'{one.function} {one.file}:{one.line}')}")


def _show_section(name: str, section: Mapping[str, Any]) -> None:
    show(_TITLES.get(name, f"{name}:"))
    for field, value in section.items():
        if field not in _STACKS and value not in ("", None) and not (isinstance(value, dict) and field in _TITLES):
            _line(field, value, indent="  ")
    for field in _STACKS:
        for line in logs.cut(str(section.get(field, "")), _SHOWN).splitlines():
            show(f"    {logs.escape(line)}")
    for field, value in section.items():
        if isinstance(value, dict) and field in _TITLES:
            _show_section(field, value)


def _show_history(history: MessageHistory) -> None:
    if history.entries:
        show("history:" if history.is_recorded else "history, as far as its own records tell:")
    for index, entry in enumerate(history.entries):
        if history.left_out and index == _BEFORE_THE_GAP:
            show(f"  ... {history.left_out} left out ...")
        about = {
            "by": entry.worker, "delivery": entry.delivery, "until": entry.until_s and utc(entry.until_s),
            "queue": "dead-letter queue" if entry.in_dead_letters else "", "why": entry.why,
        }  # fmt: skip
        facts = " ".join(f"{name}={json.dumps(value) if ' ' in str(value) else value}"
                         for name, value in about.items() if value not in (None, ""))  # fmt: skip
        at = "" if entry.at_s is None else _precisely(entry.at_s)
        show(logs.escape(f"  {at:<24} {entry.event:<15} {facts}".rstrip()))


def _precisely(seconds: float) -> str:
    return utc(seconds).replace("Z", f".{int(seconds * 1000) % 1000:03d}Z")


def _line(name: str, value: Any, indent: str = "") -> None:
    shown = utc(value / 1000) if name.endswith("_ms") and isinstance(value, int) else value
    if name == "at_s":
        name, shown = "at", utc(value)
    elif isinstance(value, float) and value.is_integer():
        shown = int(value)
    text = shown if isinstance(shown, str) else json.dumps(shown)
    show(f"{indent}{logs.escape(logs.cut(name)):<15} {logs.escape(logs.cut(text, _SHOWN))}")
