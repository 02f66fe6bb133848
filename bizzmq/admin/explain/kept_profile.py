"""Reads what a pool has kept of a message that ran for long."""

from __future__ import annotations

from bizzmq.admin.find import find_message
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.replies import as_bytes
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import DecodeError, WrongTypeError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.profile import KeptProfile, read_kept_profile


def read_profile_of(k: QueueKeys | None, message_id: bytes) -> Operation[KeptProfile | None]:
    """The profile of a message of a queue, or of any queue. Raises as `find_message`."""
    message = yield from find_message(k, message_id)
    return None if message is None else (yield from read_profile_on(message.queue, message.id))


def read_profile_on(queue: str, message_id: str) -> Operation[KeptProfile | None]:
    """The profile of a stored message; None if there is none, it is unreadable, or this user may not read it."""
    try:
        stored = yield command("HGET", QueueKeys(queue).profiles, as_bytes(message_id))
        return None if stored is None else read_kept_profile(stored)
    except (CommandRefusedError, WrongTypeError, DecodeError):
        return None
