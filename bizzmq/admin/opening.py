"""Encrypted bodies in listings: a client that has their keys shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from bizzmq.admin.explain.details import MessageDetails
from bizzmq.admin.explain.explanation import Explanation
from bizzmq.admin.listing import MessagePage
from bizzmq.admin.stored_message import StoredMessage
from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import SealedBody
from bizzmq.protocol.sealing import Sealer

T = TypeVar("T")


def opened(found: T, sealer: Sealer | None) -> T:
    """What was read, with the bodies that the sealer has keys for."""
    if sealer is None:
        return found
    given: Any = found
    if isinstance(given, MessagePage):
        given = MessagePage([_opened(one, sealer) for one in given.messages], given.next)
    elif isinstance(given, StoredMessage):
        given = _opened(given, sealer)
    elif isinstance(given, Explanation) and given.message is not None:
        given = replace(given, message=_opened(given.message, sealer))
    elif isinstance(given, MessageDetails) and given.explanation.message is not None:
        message = _opened(given.explanation.message, sealer)
        explanation = replace(given.explanation, message=message)
        given = replace(given, explanation=explanation, body=message.body, problem=message.problem)
    shown: T = given
    return shown


def _opened(stored: StoredMessage, sealer: Sealer) -> StoredMessage:
    if stored.message is None or type(stored.message.body) is not SealedBody:
        return stored
    try:
        return replace(stored, message=sealer.opened(stored.message))
    except DecodeError as error:
        return replace(stored, message=None, problem=str(error))
