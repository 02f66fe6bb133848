"""Sentences about messages that are delayed, or that a worker holds."""

from __future__ import annotations

from bizzmq.admin.explain.facts import Facts
from bizzmq.admin.stored_message import DELAYED, PROCESSING, StoredMessage
from bizzmq.errors import UnknownTaskError
from bizzmq.protocol.ids import host_and_pid
from bizzmq.protocol.pool_report import DRAINING
from bizzmq.utils.wording import counted, span

_UNKNOWN_TASK = f"{UnknownTaskError.__name__}: "
_NEWER = "version "
"""The error of a newer version begins like this, that of an unknown task does not (see `app.dispatcher`)."""


def being_cancelled(facts: Facts) -> str:
    record, message = facts.beside.cancel, facts.message
    if message is None or not record:
        return ""
    asked = record.get("cancelled_at")
    what = f"being {record.get('error') or 'cancelled'}" + (f" (asked at {asked})" if isinstance(asked, str) else "")
    if message.state != PROCESSING:
        return f"{what}; the next worker ends it"
    if facts.lease_left_s is not None:
        return f"{what}; its host is silent: it ends as soon as the lease is over, in {span(facts.lease_left_s)}"
    return f"{what}; {held_by_draining_pool(facts) or running(facts) or claimed(facts)}"


def held_by_silent_host(facts: Facts) -> str:
    message, pool, left_s = _held(facts), facts.holder, facts.lease_left_s
    if message is None or pool is None or left_s is None:
        return ""
    silent = f"claimed by a worker on host {pool.host}, which has been silent for {span(pool.beat_ago_s or 0.0)}"
    if left_s > 0:
        return f"{silent}: its lease runs for {span(left_s)} more, then the message is requeued"
    if facts.pools:
        return f"{silent}: its lease is over, and another pool requeues the message at its next scan"
    return f"{silent}: its lease is over, and no other pool serves the queue to requeue the message"


def held_by_draining_pool(facts: Facts) -> str:
    message, pool = _held(facts), facts.holder
    if message is None or pool is None or pool.state != DRAINING:
        return ""
    running = f", where it has run for {span(facts.running_for_s)}" if facts.running_for_s is not None else ""
    return (
        f"held by a pool on host {pool.host} that is draining{running}: "
        "it finishes in time, or is put back without blame"
    )


def running(facts: Facts) -> str:
    message = _held(facts)
    if message is None or (facts.held_before > 0 and facts.running_for_s is None):
        return ""
    where = f"worker {message.worker}"
    delivery = f"delivery {message.delivery + 1}"
    if facts.running_for_s is None:
        return f"being handled: {delivery}, by {where}"
    return f"being handled for {span(facts.running_for_s)}: {delivery}, by {where}"


def claimed(facts: Facts) -> str:
    message = _held(facts)
    if message is None:
        return ""
    before = counted(facts.held_before, "other message")
    host = host_and_pid(message.worker)[0]
    now = facts.holder.running if facts.holder else ()
    longest = next((f", the first of which has run for {span(one.for_s)}" for one in now
                    if one.worker == message.worker), "")  # fmt: skip
    return f"claimed by a worker on host {host}, behind {before} that it holds{longest}"


def newer_version(facts: Facts) -> str:
    text = _unknown_task(facts)
    return _waits_for_task(facts, text) if text.startswith(_NEWER) else ""


def unknown_task(facts: Facts) -> str:
    text = _unknown_task(facts)
    return _waits_for_task(facts, text) if text else ""


def delayed_by_retry(facts: Facts) -> str:
    message = _delayed(facts)
    if message is None or not (message.last_error or message.retry_count or message.crash_count):
        return ""
    return f"delayed: {retries_of(facts)}, {due(facts)}"


def delayed_by_publisher(facts: Facts) -> str:
    return "" if _delayed(facts) is None else f"delayed by its publisher: {due(facts)}"


def retries_of(facts: Facts) -> str:
    """`retry 2 of 5 after ZeroDivisionError: division by zero`; "" for a message that has not failed."""
    message = facts.message
    if message is None or not (message.retry_count or message.last_error):
        return ""
    limit = f" of {facts.max_retries}" if facts.max_retries is not None else ""
    error = f" after {message.last_error}" if message.last_error else ""
    return f"retry {message.retry_count}{limit}{error}"


def due(facts: Facts) -> str:
    """When a delayed message is due, and who looks after it if it is overdue."""
    left_s = facts.due_in_s
    if left_s is None:
        return "due at a time that nobody can read"
    if left_s > 0:
        return f"due in {span(left_s)}"
    waits = "a worker takes it up when it claims next" if facts.workers else "but no worker serves the queue"
    return f"due since {span(-left_s)}, {waits}"


def _held(facts: Facts) -> StoredMessage | None:
    return facts.message if facts.message and facts.message.state == PROCESSING else None


def _delayed(facts: Facts) -> StoredMessage | None:
    return facts.message if facts.message and facts.message.state == DELAYED else None


def _unknown_task(facts: Facts) -> str:
    """Why no worker that has looked at the message could run it; "" for others."""
    message = facts.message
    if message is None or message.state == PROCESSING or not message.last_error.startswith(_UNKNOWN_TASK):
        return ""
    return message.last_error[len(_UNKNOWN_TASK) :]


def _waits_for_task(facts: Facts, text: str) -> str:
    next_look = due(facts) if facts.due_in_s is not None else "waiting again"
    times = counted(facts.message.delivery if facts.message else 0, "time")
    return f"waits for a worker that knows its task: {text}; put back {times} without blame; {next_look}"
