"""Reads the output of a message: that of its last failed attempt, or what is kept after its end."""

from __future__ import annotations

from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.explain.history import read_kept
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.replies import as_bytes, as_text
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import WrongTypeError
from bizzmq.protocol import keys
from bizzmq.protocol.keys import QueueKeys


def read_output(k: QueueKeys | None, message_id: bytes) -> Operation[str]:
    """The output of a message of a queue, or of any queue. Raises as `read_explanation`."""
    return (yield from read_output_of(k, (yield from read_explanation(k, message_id))))


def read_output_of(k: QueueKeys | None, explanation: Explanation) -> Operation[str]:
    """The output of a message whose explanation is known; "" if there is none, or this user may not read it."""
    message, message_id = explanation.message, as_bytes(explanation.id)
    data = None
    try:
        if message is not None:
            data = yield command("HGET", QueueKeys(message.queue).output, message_id)
        for name in [] if data is not None else (yield from _queues(k, explanation)):
            data = yield from read_kept(name, message_id, "output")
            if data is not None:
                break
    except (CommandRefusedError, WrongTypeError):
        pass
    return (data or b"").decode("utf-8", "replace")


def _queues(k: QueueKeys | None, explanation: Explanation) -> Operation[list[str]]:
    """Where kept output may be: without a result, nothing tells the queue of a message that has ended."""
    if explanation.queue or k is not None:
        return [keys.logical_queue(explanation.queue or (k.owner if k else ""))]
    members = yield command("SMEMBERS", keys.INDEX)
    return sorted({keys.owner_of(name) for name in map(as_text, members) if keys.is_name(name)})
