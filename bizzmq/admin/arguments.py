"""Checks of the arguments that the methods of a client share."""

from __future__ import annotations

from typing import Any

from bizzmq.broker.replies import as_bytes
from bizzmq.protocol.keys import QueueKeys
from bizzmq.validation import checks


def keys_of(queue_name: Any) -> QueueKeys:
    """The keys of a queue. Raises ConfigurationError."""
    return QueueKeys(checked_name(queue_name))


def checked_id(message_id: Any) -> bytes:
    """A message's id as it is stored. Raises ConfigurationError."""
    text = checks.text("message_id", message_id, "a text, the id of a message")
    try:
        return as_bytes(text)
    except UnicodeEncodeError:
        checks.refuse("message_id", "the id of a message", text)


def checked_name(name: Any) -> str:
    """A queue's name as a str; QueueKeys checks its characters."""
    return checks.text("queue_name", name, "a text, the name of a queue, and goes before the message or the handler")
