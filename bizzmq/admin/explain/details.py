"""Everything that is known of a message: its explanation, and the sections that `bizzmq show` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Tuple

from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.explain.history import read_history_of
from bizzmq.broker.operations import Operation
from bizzmq.errors import DecodeError
from bizzmq.properties import NO_PROPERTIES, to_stored
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.history import MessageHistory
from bizzmq.protocol.keys import QueueKeys


@dataclass(frozen=True)
class MessageDetails:
    """A message with everything that is known of it.

    Attributes:
        explanation: why it is where it is, or what has become of it.
        sections: by name, what is stored of it: `options`, `attempts`, `error`, `last_crash`, `result`; without those
            that it does not have.
        body: the JSON value that was published; None if it is not stored, or unreadable.
        problem: why it is unreadable; "" if it is not.
        history: what has happened to it.
    """

    explanation: Explanation
    sections: Mapping[str, Mapping[str, Any]]
    body: Any = None
    problem: str = ""
    history: MessageHistory = field(default_factory=lambda: MessageHistory(()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.explanation.as_dict(), **self.sections, "history": self.history.as_dict(), "body": self.body,
            "problem": self.problem,
        }  # fmt: skip


def read_details(k: QueueKeys | None, message_id: bytes) -> Operation[MessageDetails]:
    """The details of a message. Raises as `read_explanation`."""
    explanation = yield from read_explanation(k, message_id)
    stored = explanation.message
    sections = {name: section for name, section in (*_stored(explanation), *_ending(explanation)) if section}
    history = yield from read_history_of(explanation)
    body, problem = (stored.body, stored.problem) if stored else (None, "")
    return MessageDetails(explanation, sections, body, problem, history)


_Section = Tuple[str, Mapping[str, Any]]


def _stored(explanation: Explanation) -> Tuple[_Section, ...]:
    stored = explanation.message
    if stored is None:
        return ()
    options: dict[str, Any] = {"priority": stored.priority}
    if stored.message is not None:
        own = {"retries": stored.message.retries, "timeout_s": stored.message.timeout_s}
        options.update({name: value for name, value in own.items() if value is not None})
        options.update(to_stored(stored.message.properties or NO_PROPERTIES))
    attempts = {
        "deliveries": stored.delivery, "retries": stored.retry_count, "crashes": stored.crash_count,
        "last_error": stored.last_error,
    }  # fmt: skip
    return (
        ("options", options),
        ("attempts", attempts),
        ("error", stored.error),
        ("last_crash", stored.last_crash or {}),
    )


def _ending(explanation: Explanation) -> Tuple[_Section, ...]:
    ending = explanation.ending
    if ending is None:
        return ()
    result: dict[str, Any] = {
        "state": ending.state, "delivery": ending.delivery, "started_ms": ending.started_ms,
        "finished_ms": ending.finished_ms,
    }  # fmt: skip
    if ending.result:
        try:
            result["value"] = decode_body(ending.result)
        except DecodeError as error:
            result["problem"] = str(error)
    return ("result", result), ("error", ending.error or {})
