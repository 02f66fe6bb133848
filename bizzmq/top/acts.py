"""The acts of `bizzmq top`: what a key does to the row under the cursor."""

from __future__ import annotations

import json
from typing import Any, Mapping

from bizzmq.admin.explain.details import MessageDetails
from bizzmq.client import BizzMQ
from bizzmq.utils import logs
from bizzmq.utils.wording import counted


def pause(mq: BizzMQ, queue: str, reason: str) -> str:
    """Pause a queue; returns what was done."""
    mq.pause(queue, reason=reason)
    return f"{queue} is paused"


def resume(mq: BizzMQ, queue: str) -> str:
    """Resume a queue; returns what was done."""
    return f"{queue} goes on" if mq.resume(queue) else f"{queue} was not paused"


def cancel(mq: BizzMQ, queue: str, message_id: str) -> str:
    """Cancel a message; returns what was done."""
    if mq.cancel(message_id, queue):
        return f"{message_id} is cancelled; if it runs, its worker gets MessageCancelled within a second"
    return f"{message_id} has ended already"


def retry(mq: BizzMQ, queue: str, fingerprint: str | None) -> str:
    """Replay the dead letters of a queue, or those of one group; returns what was done."""
    count = mq.replay(queue, fingerprint=fingerprint)
    return f"{counted(count, 'dead letter')} of {queue} replayed"


def show(mq: BizzMQ, queue: str, message_id: str) -> str:
    """Everything that is known of a message, as text."""
    details = mq.show_message(message_id, queue)
    lines = [details.explanation.sentence, ""]
    for name, section in details.sections.items():
        lines += [f"{name.replace('_', ' ')}:", *_lines(section), ""]
    return "\n".join([*lines, *_body(details)])


def _body(details: MessageDetails) -> list[str]:
    if details.problem:
        return [f"problem: {logs.escape(details.problem)}"]
    if details.explanation.message is None:
        return []
    text = logs.cut(json.dumps(details.body, indent=2), 10_000)
    return ["body:", *(f"  {logs.escape(line)}" for line in text.splitlines())]


def _lines(section: Mapping[str, Any], indent: str = "  ") -> list[str]:
    lines: list[str] = []
    for name, value in section.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        first, *others = logs.cut(text, 10_000).splitlines() or [""]
        if not others:
            lines.append(f"{indent}{name}: {logs.escape(first)}")
        else:
            lines += [f"{indent}{name}:", *(f"{indent}  {logs.escape(line)}" for line in (first, *others))]
    return lines
