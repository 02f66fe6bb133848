"""Retries a delayed message now."""

from __future__ import annotations

from bizzmq.admin.find import find_message
from bizzmq.admin.stored_message import DELAYED
from bizzmq.broker.message_calls import promote_call, promote_result
from bizzmq.broker.operations import Operation, Script
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys


def retry_message(k: QueueKeys | None, message_id: bytes) -> Operation[bool]:
    """Make a delayed message of a queue, or of any queue if `k` is None, wait now. False if it is not delayed.

    Raises:
        QueueNotFoundError: there is no such queue.
    """
    found = yield from find_message(k, message_id)
    if found is None or found.state != DELAYED:
        return False
    reply = yield Script("promote", promote_call(QueueKeys(found.queue), message_id, ids.nonce()))
    return promote_result(reply)
