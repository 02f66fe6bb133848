"""Publishing messages that are unique or expire, or to a queue of limited length: the calls of `publish_checked`."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, Sequence

from bizzmq.broker.operations import Call, Operation, Script
from bizzmq.errors import BizzMQError, BrokerReplyError, QueueFullError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys

Seal = Optional[Callable[[str, bytes], bytes]]
"""Seals an envelope for a message with this id."""
_SEALED_ANEW = 20
"""How often a request is sealed anew, since others have replaced the message to replace meanwhile."""


class LengthLimitedError(BizzMQError):
    """The queue has a limited length, so `publish` has stored nothing; `publish_checked` is needed."""


class Terms(NamedTuple):
    """What all messages of a publish have in common.

    Attributes:
        delay_ms, priority: as for publish.
        expires_ms: after how many ms they expire; 0 for never.
        kept_until: until when a unique key is kept: `finished`, `started`, or for how many ms.
        replaces: whether they replace a message that has the same key.
    """

    delay_ms: int
    priority: int
    expires_ms: int = 0
    kept_until: str = "finished"
    replaces: bool = False


class CheckedRequest(NamedTuple):
    """One numbered request.

    Attributes:
        number: higher than the number of the publisher's previous request.
        message_ids, unique_keys, envelopes: of each message, in order; "" for a message without a key. There are no
            keys if no message has one.
    """

    number: int
    message_ids: Sequence[str]
    unique_keys: Sequence[str]
    envelopes: Sequence[bytes]


class Standing(NamedTuple):
    """The result of a request.

    Attributes:
        message_ids: the ids that stand for the messages; not its own for a message whose key another one has.
        dropped: how many older messages were dropped.
    """

    message_ids: Sequence[str]
    dropped: int


def numbers_of(nonce: str) -> str:
    """The name under which a publisher numbers these requests: it is another one than that of plain requests."""
    return f"{nonce}c"


def checked_publish(k: QueueKeys, nonce: str, request: CheckedRequest, terms: Terms, seal: Seal) -> Operation[Standing]:
    """Publish all messages or none. A repetition returns the same.

    An envelope is sealed for the id of its message. One that replaces that of another message is sealed for that id.

    Raises:
        QueueNotFoundError, QueueFullError: nothing was published.
        BrokerReplyError: the publisher's number in Redis is forged, or others replace the same message all the time.
    """
    sealed_for: Sequence[str] = request.message_ids
    for _ in range(_SEALED_ANEW):
        reply = yield Script("publish_checked", publish_checked_call(k, nonce, request, terms, 0, seal, sealed_for))
        if reply[0] != 2:
            return publish_checked_result(reply, k, nonce, request)
        sealed_for = [one.decode() for one in reply[2]]
    raise BrokerReplyError(
        f"other publishers replace the same messages of {k.queue} all the time; nothing was published"
    )


def publish_checked_call(
    k: QueueKeys,
    nonce: str,
    request: CheckedRequest,
    terms: Terms,
    before: int,
    seal: Seal = None,
    sealed_for: Sequence[str] = (),
) -> Call:
    """The call that publishes a request.

    Args:
        before: the number of an earlier request whose reply is unread and which must be executed first, or 0.
        sealed_for: the ids for which the envelopes are sealed; by default those of the messages.
    """
    number, message_ids, unique_keys, envelopes = request
    key_names = (
        k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats,
        k.publisher(numbers_of(nonce)),
    )  # fmt: skip
    if seal is not None:
        envelopes = [seal(target, one) for target, one in zip(sealed_for or message_ids, envelopes)]
    count = len(message_ids)
    args: list[Any] = [
        f"{number}", f"{before}", f"{terms.delay_ms}", f"{terms.priority}", f"{terms.expires_ms}", terms.kept_until,
        "1" if terms.replaces else "0", f"{count}",
    ]  # fmt: skip
    if count == 1:
        args += (message_ids[0], envelopes[0])
    else:
        args += [part for pair in zip(message_ids, envelopes) for part in pair]
    args += unique_keys
    if seal is not None and terms.replaces:
        args += sealed_for or message_ids
    return key_names, args


def publish_checked_result(reply: Any, k: QueueKeys, nonce: str, request: CheckedRequest) -> Standing:
    """Raises QueueNotFoundError, QueueFullError, BrokerReplyError."""
    status = reply[0]
    if status == 1:
        ids = reply[2]
        return Standing([one.decode() for one in ids] if ids else request.message_ids, reply[1])
    if status == -1:
        raise QueueNotFoundError(k.queue)
    if status == -4:
        raise QueueFullError(k.queue, int(reply[1]))
    raise BrokerReplyError(
        f"another client has written to {k.publisher(numbers_of(nonce))}, so Redis cannot tell whether these messages "
        "are stored: publish them again if duplicates are better than losses"
    )
