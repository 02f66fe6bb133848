"""A schedule, and how it is stored: as one line of JSON, followed by the envelope of its messages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict

from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.message import MessageOptions
from bizzmq.properties import MAX_NAME, checked_unique_key
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body, decode_envelope, encode_header
from bizzmq.protocol.keys import QueueKeys, is_dead_letter_queue
from bizzmq.protocol.sealing import Sealer
from bizzmq.schedules.when import Cron, Interval, When, checked_when
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

LAST, SKIP, ALL = "last", "skip", "all"
MISSED = (LAST, SKIP, ALL)
ALLOW, QUEUE_ONE = "allow", "queue-one"
OVERLAP = (ALLOW, SKIP, QUEUE_ONE)


@dataclass(frozen=True)
class ScheduleOptions:
    """When a schedule fires, and what it does if something is in the way.

    Attributes:
        when: the interval or the cron line.
        missed: after downtime `last` fires once, `skip` waits for the next time, and `all` fires for each missed time.
        overlap: while its last message is not finished `allow` fires nevertheless, `skip` does not, and `queue-one`
            fires once as soon as that message is finished.
        jitter_ms: each message is delayed by a random time up to this one.
    """

    when: When
    missed: str = LAST
    overlap: str = ALLOW
    jitter_ms: int = 0


def checked_options(
    cron: Any, every_s: Any, timezone: Any, missed: Any, overlap: Any, jitter_s: Seconds
) -> ScheduleOptions:
    """The options of a schedule, from the arguments of a user. Raises ConfigurationError."""
    return ScheduleOptions(
        checked_when(cron, every_s, timezone),
        checks.choice("missed", missed, MISSED),
        checks.choice("overlap", overlap, OVERLAP),
        round(checks.seconds("jitter_s", jitter_s) * 1000),
    )


def checked_schedule_name(value: Any) -> str:
    """The name of a schedule. Raises ConfigurationError."""
    name = checks.text("the name of a schedule", value)
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or " " in name:
        checks.refuse("the name of a schedule", f"1 to {MAX_NAME} printable characters without spaces", value)
    return name


def checked_home(queue: str) -> str:
    """The name of a queue that can have schedules. Raises ConfigurationError."""
    k = QueueKeys(queue)
    if is_dead_letter_queue(queue) or ":" in k.owner:
        raise ConfigurationError(f"{queue!r} cannot have a schedule: name a queue, not a shard or a dead-letter queue")
    return queue


@dataclass(frozen=True)
class MessageTerms:
    """Which messages of a schedule are published and run.

    Attributes:
        unique_key: none is published while another message of the queue has it; "" for no key.
        kept_until: until when a message has it: `finished`, `started`, or for how many ms.
        expires_ms: how long after its publishing a message may be started; 0 for ever.
    """

    unique_key: str = ""
    kept_until: str = "finished"
    expires_ms: int = 0

    def encode(self) -> bytes:
        """As `fire` takes them; b"" if there are none."""
        terms: Dict[str, Any] = {}
        if self.unique_key:
            terms["unique"] = self.unique_key
            if self.kept_until.isdigit():
                terms["for_ms"] = int(self.kept_until)
            else:
                terms["until"] = self.kept_until
        if self.expires_ms:
            terms["expires_ms"] = self.expires_ms
        return json_codec.dumps(terms) if terms else b""


_NO_TERMS = MessageTerms()


@dataclass(frozen=True)
class Schedule:
    """A schedule.

    Attributes:
        name: unique within its queue.
        queue: the name of the queue that its messages are published to.
        options: when it fires, and its policies.
        envelope: the envelope of its messages, before it is sealed.
        priority, delay_ms: of its messages.
        app: the module that declares it in code; "" if it was added by a client or a command.
        is_undeclared: whether that module no longer declares it.
        terms: the unique key and the expiry of its messages.
    """

    name: str
    queue: str
    options: ScheduleOptions
    envelope: bytes
    priority: int = 0
    delay_ms: int = 0
    app: str = ""
    is_undeclared: bool = False
    terms: MessageTerms = _NO_TERMS

    def encode(self, sealer: Sealer | None = None) -> bytes:
        """The stored definition. Its envelope is sealed as if the schedule were the message."""
        head: Dict[str, Any] = {}
        when, options = self.options.when, self.options
        if isinstance(when, Interval):
            head["every_ms"] = when.every_ms
        else:
            head["cron"], head["timezone"] = when.line, when.timezone
        given = {
            "missed": (options.missed, LAST), "overlap": (options.overlap, ALLOW), "jitter_ms": (options.jitter_ms, 0),
            "priority": (self.priority, 0), "delay_ms": (self.delay_ms, 0), "app": (self.app, ""),
            "undeclared": (self.is_undeclared, False), "unique_key": (self.terms.unique_key, ""),
            "kept_until": (self.terms.kept_until, "finished"), "expires_ms": (self.terms.expires_ms, 0),
        }  # fmt: skip
        head.update({name: value for name, (value, default) in given.items() if value != default})
        envelope = self.envelope if sealer is None else sealer.seal(_sealed_id(self.name), self.queue, self.envelope)
        return json_codec.dumps(head) + b"\n" + envelope


def decode(name: str, queue: str, stored: bytes, sealer: Sealer | None = None) -> Schedule:
    """The schedule of a stored definition.

    Args:
        sealer: checks and opens the envelope. Without one it stays as it is stored.

    Raises:
        DecodeError, SignatureError, UnsignedError: the definition is malformed, not signed with one of the keys, or
            encrypted with an unknown one.
    """
    line, newline, envelope = stored.partition(b"\n")
    head = decode_body(line)
    if not newline or not isinstance(head, dict):
        raise DecodeError("the definition of a schedule must be a JSON object, a newline and an envelope")
    if sealer is not None:
        envelope = sealer.unsealed(_sealed_id(name), queue, envelope)
    try:
        return Schedule(
            name, queue, _stored_options(head), envelope, checks.integer("priority", head.get("priority", 0), -(2**53)),
            checks.integer("delay_ms", head.get("delay_ms", 0), 0), checks.text("app", head.get("app", "")),
            checks.flag("undeclared", head.get("undeclared", False)), _stored_terms(head),
        )  # fmt: skip
    except ConfigurationError as error:
        raise DecodeError(f"the definition of a schedule is invalid: {error}") from error


def _stored_options(head: Dict[str, Any]) -> ScheduleOptions:
    when: When
    if "cron" in head:  # its line was checked when it was stored, and a malformed one fires never
        when = Cron(checks.text("cron", head["cron"]), checks.text("timezone", head.get("timezone", "UTC")))
    else:
        when = Interval(checks.integer("every_ms", head.get("every_ms"), 1000))
    return ScheduleOptions(
        when, checks.choice("missed", head.get("missed", LAST), MISSED),
        checks.choice("overlap", head.get("overlap", ALLOW), OVERLAP),
        checks.integer("jitter_ms", head.get("jitter_ms", 0), 0),
    )  # fmt: skip


def _stored_terms(head: Dict[str, Any]) -> MessageTerms:
    if "unique_key" not in head and "expires_ms" not in head:
        return _NO_TERMS
    kept_until = checks.text("kept_until", head.get("kept_until", "finished"))
    if not kept_until.isdigit():
        checks.choice("kept_until", kept_until, ("finished", "started"))
    return MessageTerms(
        checked_unique_key(head.get("unique_key", "")), kept_until,
        checks.integer("expires_ms", head.get("expires_ms", 0), 0),
    )  # fmt: skip


def _terms_of(message: MessageOptions, body: bytes, jitter_ms: int) -> MessageTerms:
    """The terms of the messages of a schedule. Raises ConfigurationError."""
    if message.on_duplicate == "replace":
        raise ConfigurationError("a schedule's message cannot have on_duplicate='replace': all have the same content")
    expires_ms = 0 if message.expires_s is None else max(1, round(message.expires_s * 1000))
    if expires_ms and expires_ms <= message.delay_ms(0) + jitter_ms:
        checks.refuse("expires_s", "longer than delay_s and jitter_s together", message.expires_s)
    key = message.unique_key
    if not isinstance(key, str):
        key = checked_unique_key(key(decode_body(body)), "what unique_key returns")
    kept_until = message.unique_until if message.unique_for_s is None else f"{round(message.unique_for_s * 1000)}"
    return MessageTerms(key, kept_until if key else "finished", expires_ms)


def new_schedule(
    name: Any, queue: str, options: ScheduleOptions, body: bytes, message: MessageOptions, task: str = "",
    version: int = 1, app: str = "",
) -> Schedule:  # fmt: skip
    """A schedule of a message.

    Args:
        body: the body of the message as JSON.
        message: the options of the message. A delay counts from the time at which the schedule fires.

    Raises:
        ConfigurationError: the name is invalid, or the options have no meaning for messages that are published later.
    """
    if not isinstance(message.delay_s, (int, float)):
        raise ConfigurationError("a schedule's message needs a delay_s in seconds, not a datetime")
    if message.confirm:
        raise ConfigurationError("a schedule's message cannot have confirm: no publisher waits for it")
    return Schedule(
        checked_schedule_name(name), checked_home(queue), options, encode_header(message, task, version) + body,
        message.priority, message.delay_ms(0), app, terms=_terms_of(message, body, options.jitter_ms),
    )  # fmt: skip


def declared_again(schedule: Schedule, *, is_undeclared: bool) -> Schedule:
    """The schedule with or without the mark that code no longer declares it."""
    return replace(schedule, is_undeclared=is_undeclared)


def content_of(schedule: Schedule) -> tuple[str, Any]:
    """The task and the body of its messages; a body that cannot be read is None."""
    try:
        message = decode_envelope("", schedule.queue, schedule.envelope)
    except DecodeError:
        return "", None
    return message.properties.task if message.properties else "", message.body


def _sealed_id(name: str) -> str:
    """What the seal of a schedule is bound to in place of a message's id. No message has such an id."""
    return f"schedule {name}"
