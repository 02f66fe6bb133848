"""Reads the history of a message: what its queue has noted, or else what the message's own records tell."""

from __future__ import annotations

from typing import Any, Iterator

from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.stored_message import DELAYED, StoredMessage
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import DecodeError, WrongTypeError
from bizzmq.protocol.history import PUBLISHED, HistoryEntry, MessageHistory, decode_history, entry_of_record
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import Ending


def read_history(k: QueueKeys | None, message_id: bytes) -> Operation[MessageHistory]:
    """The history of a message of a queue, or of any queue. Raises as `read_explanation`."""
    return (yield from read_history_of((yield from read_explanation(k, message_id))))


def read_history_of(explanation: Explanation) -> Operation[MessageHistory]:
    """The history of a message whose explanation is known."""
    message, message_id = explanation.message, as_bytes(explanation.id)
    text = None
    try:
        if message is not None:
            text = yield command("HGET", QueueKeys(message.queue).history, message_id)
        elif explanation.ending is not None:
            text = yield from read_kept(explanation.queue, message_id, "history")
    except (CommandRefusedError, WrongTypeError):
        pass  # users from before histories may not read them
    noted = decode_history(text)
    if noted is None:
        return MessageHistory(tuple(_known(explanation)))
    left_out, entries = noted
    return MessageHistory((*_published(explanation, is_first=not entries), *entries), left_out, is_recorded=True)


def read_kept(queue: str, message_id: bytes, kind: str) -> Operation[Any]:
    """What is kept beside the result of a message, in whichever shard; None if nothing is."""
    for shard in (yield from read_shards(QueueKeys(queue))):
        text = yield command("GET", as_bytes(shard.result("")) + message_id + f":{kind}".encode())
        if text is not None:
            return text
    return None


def _known(explanation: Explanation) -> Iterator[HistoryEntry]:
    """What the records of the message tell, if its queue notes nothing."""
    message, ending = explanation.message, explanation.ending
    yield from _published(explanation, is_first=not (message and (message.last_error or message.last_crash)))
    if message is not None:
        yield from _of_message(message)
    elif ending is not None:
        yield from _of_ending(ending)


def _published(explanation: Explanation, *, is_first: bool) -> Iterator[HistoryEntry]:
    """The publish, which the id tells. `is_first`: nothing has happened since, so a delay is the publisher's."""
    try:
        at_s = published_us(explanation.id) // 1000 / 1000  # as precise as the others, so that they stay in order
    except DecodeError:
        return
    if explanation.message is not None or explanation.ending is not None:
        due_at_s = explanation.message.due_at_s if explanation.message and is_first else None
        yield HistoryEntry(PUBLISHED, at_s, until_s=due_at_s)


def _of_message(message: StoredMessage) -> Iterator[HistoryEntry]:
    error = message.error
    crash = message.last_crash or error.get("last_crash")
    if isinstance(crash, dict):
        yield entry_of_record("requeued", crash)
    if message.last_error:
        due_at_s = message.due_at_s if message.state == DELAYED else None
        yield HistoryEntry("retried", None, until_s=due_at_s, why=message.last_error)
    if error:
        yield entry_of_record("dead_lettered", error)
        if isinstance(error.get("handler_error"), dict):
            yield entry_of_record("parked", error["handler_error"], in_dead_letters=True)


def _of_ending(ending: Ending) -> Iterator[HistoryEntry]:
    if ending.started_ms is not None:
        yield HistoryEntry("claimed", ending.started_ms / 1000, delivery=ending.delivery)
    at_s = None if ending.finished_ms is None else ending.finished_ms / 1000
    if ending.error:
        record = entry_of_record(ending.state, ending.error)
        yield HistoryEntry(ending.state, at_s or record.at_s, worker=record.worker, why=record.why)
    else:
        yield HistoryEntry(ending.state, at_s)
