"""Everything that is known of a message: its explanation, and the sections that `bizzmq show` prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Tuple

from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.explain.history import read_history_of
from bizzmq.admin.explain.kept_profile import read_profile_on
from bizzmq.admin.explain.output import read_output_of
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.replies import as_bytes
from bizzmq.errors import DecodeError
from bizzmq.properties import NO_PROPERTIES, to_stored
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.history import MessageHistory
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.profile import KeptProfile
from bizzmq.protocol.records import decode_progress


@dataclass(frozen=True)
class MessageDetails:
    """A message with everything that is known of it.

    Attributes:
        explanation: why it is where it is, or what has become of it.
        sections: by name, what is stored of it: `options`, `attempts`, `progress`, `error`, `last_crash`, `result`;
            without those that it does not have.
        body: the JSON value that was published; None if it is not stored, or unreadable.
        problem: why it is unreadable; "" if it is not.
        history: what has happened to it.
        output: what its last failed attempt has written, or what is kept after its end; "" if there is none.
        profile: what a pool with `--autopsy-after` has sampled while it ran for long; None if there is none.
    """

    explanation: Explanation
    sections: Mapping[str, Mapping[str, Any]]
    body: Any = None
    problem: str = ""
    history: MessageHistory = field(default_factory=lambda: MessageHistory(()))
    output: str = ""
    profile: KeptProfile | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.explanation.as_dict(), **self.sections, "history": self.history.as_dict(), "output": self.output,
            "profile": None if self.profile is None else self.profile.as_dict(), "body": self.body,
            "problem": self.problem,
        }  # fmt: skip


def read_details(k: QueueKeys | None, message_id: bytes) -> Operation[MessageDetails]:
    """The details of a message. Raises as `read_explanation`."""
    explanation = yield from read_explanation(k, message_id)
    stored = explanation.message
    beside = yield from _beside(explanation)
    found = (*_stored(explanation, beside), *_ending(explanation))
    sections = {name: section for name, section in found if section}
    history = yield from read_history_of(explanation)
    body, problem = (stored.body, stored.problem) if stored else (None, "")
    output = yield from read_output_of(k, explanation)
    profile = (yield from read_profile_on(stored.queue, stored.id)) if stored else None
    return MessageDetails(explanation, sections, body, problem, history, output, profile)


_Section = Tuple[str, Mapping[str, Any]]


class _Beside(NamedTuple):
    """What is stored beside a message: its unique key and expiry as options, and its progress."""

    options: Mapping[str, Any] = {}
    progress: Mapping[str, Any] = {}


def _beside(explanation: Explanation) -> Operation[_Beside]:
    stored = explanation.message
    if stored is None:
        return _Beside()
    k, raw_id = QueueKeys(stored.queue), as_bytes(stored.id)
    entry, reported = (yield command("HGET", k.extras, raw_id)), (yield command("HGET", k.progress, raw_id))
    progress = decode_progress(reported)
    return _Beside(_terms(entry), {} if progress is None else progress._asdict())


def _terms(entry: bytes | None) -> Mapping[str, Any]:
    """The unique key and the expiry of an entry of `extras`; what is unreadable is left out."""
    try:
        found = decode_body(entry) if entry else {}
    except DecodeError:
        found = {}
    if not isinstance(found, dict):
        return {}
    names = {"unique": "unique_key", "until": "unique_until", "expires_ms": "expires_ms"}
    return {shown: found[name] for name, shown in names.items() if name in found}


def _stored(explanation: Explanation, beside: _Beside) -> Tuple[_Section, ...]:
    stored = explanation.message
    if stored is None:
        return ()
    options: dict[str, Any] = {"priority": stored.priority}
    if stored.message is not None:
        own = {"retries": stored.message.retries, "timeout_s": stored.message.timeout_s}
        options.update({name: value for name, value in own.items() if value is not None})
        options.update(to_stored(stored.message.properties or NO_PROPERTIES))
    options.update(beside.options)
    attempts = {
        "past_deliveries": stored.delivery, "retries": stored.retry_count, "crashes": stored.crash_count,
        "last_error": stored.last_error,
    }  # fmt: skip
    return (
        ("options", options),
        ("attempts", attempts),
        ("progress", beside.progress),
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
