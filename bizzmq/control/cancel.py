"""Cancels messages: one by its id, or those of a queue that a filter selects."""

from __future__ import annotations

import getpass
from typing import Any, Iterator, NamedTuple

from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.find import find_message
from bizzmq.admin.listing import read_page
from bizzmq.admin.purge import check_exists
from bizzmq.admin.stored_message import DEAD_LETTERED, DELAYED, PROCESSING, SUSPENDED, WAITING, StoredMessage
from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import Cancelled, cancel_call, cancel_result
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes
from bizzmq.errors import ConfigurationError
from bizzmq.properties import NO_PROPERTIES, checked_key, checked_task, checked_unique_key
from bizzmq.protocol import ids
from bizzmq.protocol.error_record import cancel_record
from bizzmq.protocol.keys import QueueKeys
from bizzmq.validation import checks

NOTHING = Cancelled(0, 0)
MAX_BY, MAX_REASON = 200, 1000
"""The most characters of who has cancelled or paused something, and of the reason."""


class Selection(NamedTuple):
    """Which messages of a queue are meant. An empty text selects all.

    Attributes:
        task: the name of their task.
        key: their key.
    """

    task: str = ""
    key: str = ""

    def has(self, message: StoredMessage) -> bool:
        """Whether this message is selected."""
        if not self.task and not self.key:
            return True
        if message.message is None:
            return False
        properties = message.message.properties or NO_PROPERTIES
        return self.task in ("", properties.task) and self.key in ("", properties.key)


class CancelStep(NamedTuple):
    """A page of a queue whose selected messages are cancelled next: `after` in this list of states.

    `nonce` names the cancel to the server: a step that is repeated after a lost reply returns the same.
    """

    k: QueueKeys
    selection: Selection
    record: bytes
    states: tuple[str, ...]
    after: str | None = None
    nonce: str = ""


def checked_selection(task: Any, key: Any) -> Selection:
    """The selection of a task, a key, or both. Raises ConfigurationError."""
    return Selection(checked_task(task) if task != "" else "", checked_key(key))


def checked_record(by: Any, reason: Any) -> bytes:
    """The record of a cancel by someone. Raises ConfigurationError."""
    return cancel_record(checked_by(by), checked_reason(reason))


def checked_by(by: Any) -> str:
    """Who does something: the user on this host for an empty text. Raises ConfigurationError."""
    return _checked("by", by, MAX_BY) or default_by()


def checked_reason(reason: Any) -> str:
    """Why something is done. Raises ConfigurationError."""
    return _checked("reason", reason, MAX_REASON)


def _checked(name: str, value: Any, most: int) -> str:
    text = checks.text(name, value)
    if len(text) > most or not text.isprintable():
        checks.refuse(name, f"at most {most} printable characters", value)
    return text


def default_by() -> str:
    """The user of this process and the name of its host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no variable names the user, and there is no entry for the uid
        user = "unknown"
    return f"{user}@{ids.host_name()}"


def cancel_message(k: QueueKeys | None, message_id: bytes, record: bytes) -> Operation[Cancelled]:
    """Cancel a message of a queue, or of any queue if `k` is None. A dead letter only if its queue is named.

    Returns:
        Zeros if it is not stored, or is a dead letter of the queue: it has ended.

    Raises:
        QueueNotFoundError: there is no such queue.
    """
    found = yield from find_message(k, message_id)
    if found is None:
        return NOTHING
    side = QueueKeys(found.queue)
    if side.is_dead_letter_queue and not (k is not None and k.is_dead_letter_queue):
        return NOTHING
    reply = yield Script("cancel", cancel_call(side, record, [message_id], are_held=False, nonce=ids.nonce()))
    return cancel_result(reply)


class Target(NamedTuple):
    """One message to cancel.

    Attributes:
        k: its queue; None if all queues are to be searched.
        message_id: its id; empty if it is known by its unique key.
        unique_key: the unique key that it has.
    """

    k: QueueKeys | None
    message_id: bytes
    unique_key: str = ""


def checked_target(message_id: Any, queue: Any, unique_key: Any) -> Target:
    """The message that is meant. Raises ConfigurationError."""
    k = None if queue is None else keys_of(queue)
    if unique_key == "":
        if message_id == "":
            raise ConfigurationError("message_id: name the message by its id, or by unique_key and queue_name")
        return Target(k, checked_id(message_id))
    if message_id != "" or k is None:
        raise ConfigurationError("unique_key: takes the name of the queue, and no id")
    if k.is_dead_letter_queue:
        raise ConfigurationError("unique_key: dead letters have no unique keys")
    return Target(k, b"", checked_unique_key(unique_key))


def cancel_target(target: Target, record: bytes) -> Operation[Cancelled]:
    """Cancel one message. Zeros if there is none. Raises QueueNotFoundError."""
    if not target.unique_key or target.k is None:
        return (yield from cancel_message(target.k, target.message_id, record))
    yield from check_exists(target.k)
    for shard in (yield from read_shards(target.k)):
        done = yield from _cancel_owner(shard, target.unique_key, record)
        if any(done):
            return done
    return NOTHING


def _cancel_owner(shard: QueueKeys, unique_key: str, record: bytes) -> Operation[Cancelled]:
    """Cancel the message of a shard that has a unique key. It may end meanwhile, and another one take the key."""
    for place in (shard.unique, shard.throttled):
        tried = None
        owner = yield command("HGET", place, unique_key)
        while owner is not None and owner != tried:
            reply = yield Script("cancel", cancel_call(shard, record, [owner], are_held=False, nonce=ids.nonce()))
            done = cancel_result(reply)
            if any(done):
                return done
            tried, owner = owner, (yield command("HGET", place, unique_key))
    return NOTHING


def begin_cancel(k: QueueKeys, selection: Selection, record: bytes) -> Operation[CancelStep]:
    """The first step of cancelling the selected messages of a queue.

    Raises:
        QueueNotFoundError: there is no such queue.
    """
    yield from check_exists(k)
    states = (DEAD_LETTERED, PROCESSING) if k.is_dead_letter_queue else (WAITING, DELAYED, SUSPENDED, PROCESSING)
    return CancelStep(k, selection, record, states, nonce=ids.nonce())


def cancel_step(step: CancelStep) -> Operation[tuple[Cancelled, CancelStep | None]]:
    """Cancel the selected messages of a page. Returns how many, and what is left to do."""
    state = step.states[0]
    page = yield from read_page(step.k, state, BATCH_LIMIT, step.after)
    chosen: dict[str, list[bytes]] = {}
    for message in page.messages:
        if step.selection.has(message):
            chosen.setdefault(message.queue, []).append(as_bytes(message.id))
    ended = requested = 0
    for queue, selected in chosen.items():
        call = cancel_call(QueueKeys(queue), step.record, selected, are_held=state == PROCESSING, nonce=step.nonce)
        reply = yield Script("cancel", call)
        done = cancel_result(reply)
        ended, requested = ended + done.ended, requested + done.requested
    if page.next is not None:
        return Cancelled(ended, requested), step._replace(after=page.next)
    left = step._replace(states=step.states[1:], after=None) if step.states[1:] else None
    return Cancelled(ended, requested), left


def cancel_all(broker: Broker, k: QueueKeys, selection: Selection, record: bytes) -> Iterator[Cancelled]:
    """Cancel the selected messages of a queue step by step. Yields what each step has done."""
    step: CancelStep | None = broker.perform(begin_cancel(k, selection, record))
    while step is not None:
        done, step = broker.perform(cancel_step(step))
        yield done


def count_selected(broker: Broker, k: QueueKeys, selection: Selection) -> int:
    """How many messages are selected now. Reads all messages of the queue, in pages."""
    step = broker.perform(begin_cancel(k, selection, b""))
    count = 0
    for state in step.states:
        after: str | None = None
        while True:
            page = broker.perform(read_page(k, state, BATCH_LIMIT, after))
            count += sum(map(selection.has, page.messages))
            after = page.next
            if after is None:
                break
    return count
