"""The audit of schedules: each has a definition and a due time."""

from __future__ import annotations

from bizzmq.audit.findings import Finding, rest_of_schedule, schedule_without_due_time, unreadable_schedule
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import read_time_ms
from bizzmq.broker.replies import as_bytes
from bizzmq.errors import DecodeError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.schedules import operations
from bizzmq.schedules.operations import Stored
from bizzmq.schedules.planning import due_text
from bizzmq.schedules.schedule import decode


def findings_of(broker: Broker, k: QueueKeys) -> list[Finding]:
    """The damaged schedules of a queue. What is read is of one moment."""
    stored = broker.perform(operations.read_all(k))
    without_due = [one for one in stored if one.definition and one.score is None]
    rests = [one for one in stored if not one.definition]
    unreadable = [one for one in stored if one.definition and one.info().problem]
    found: list[Finding] = []
    for chosen, make in (
        (without_due, schedule_without_due_time), (rests, rest_of_schedule), (unreadable, unreadable_schedule),
    ):  # fmt: skip
        if chosen:
            found.append(make(k.queue, [one.name for one in chosen]))
    return found


def repair(broker: Broker, finding: Finding) -> int:
    """Give a due time to schedules without one, and remove the rests of others. Returns how many."""
    k = broker.keys(finding.queue)
    wanted = {as_bytes(name) for name in finding.subjects}
    return sum(_repaired(broker, one) for one in broker.perform(operations.read_all(k)) if one.name in wanted)


def _repaired(broker: Broker, one: Stored) -> bool:
    if not one.definition:
        return bool(broker.remove_schedule(one.queue, one.name, b""))
    if one.score is not None:
        return False
    try:
        when = decode("", one.queue, one.definition).options.when
    except DecodeError:
        return False
    next_due = due_text(when.first(broker.perform(read_time_ms())))
    name = one.info().name
    return broker.put_schedule(one.queue, name, one.definition, one.definition, next_due, replaces_due=False)
