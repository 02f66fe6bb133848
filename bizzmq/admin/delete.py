"""Deletes one message."""

from __future__ import annotations

from bizzmq.admin.find import find_message, locate_stored
from bizzmq.broker.message_calls import delete_message_call, delete_message_result
from bizzmq.broker.operations import Operation, Script
from bizzmq.broker.replies import as_text
from bizzmq.errors import MessageInUseError
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys

_TRIES = 3


def delete_message(k: QueueKeys, message_id: bytes) -> Operation[bool]:
    """Delete a waiting, delayed or dead-lettered message. False if the queue does not store it.

    Raises:
        MessageInUseError: a worker holds it.
        QueueNotFoundError: there is no such queue.
    """
    for _ in range(_TRIES):
        found = yield from find_message(k, message_id)
        if found is None:
            return False
        side = QueueKeys(found.queue)
        if k.is_dead_letter_queue and not side.is_dead_letter_queue:
            return False
        reply = yield Script("delete_message", delete_message_call(side, message_id, ids.nonce()))
        deleted = delete_message_result(reply)
        if deleted is None:
            held = yield from locate_stored(side, message_id)
            raise MessageInUseError(as_text(message_id), side.queue, held.worker if held else found.worker)
        if deleted:
            return True
    return False
