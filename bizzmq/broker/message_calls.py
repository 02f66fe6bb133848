"""The script calls of `Messages`: the keys and arguments of each, and the meaning of its reply."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from bizzmq.broker.checked_publish import LengthLimitedError
from bizzmq.broker.operations import Call
from bizzmq.broker.replies import check_lease
from bizzmq.broker.results import result_key
from bizzmq.errors import BrokerReplyError, LeaseLostError, QueueNotFoundError, UniqueKeyInUseError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import DISCARDED


class Claimed(NamedTuple):
    """Result of a claim: all messages that the worker holds now, oldest first.

    Attributes:
        entries: (id, envelope, attempts or None) of each message.
        due_s: seconds until a delayed message is due, or None without one. Only set if there are no entries.
    """

    entries: Sequence[tuple[bytes, bytes, bytes | None]]
    due_s: float | None = None


def publish_call(
    k: QueueKeys, publisher: str, number: int, before: int, delay_ms: int, priority: int, entries: Sequence[Any]
) -> Call:
    return (
        (k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats, k.publisher(publisher)),
        [f"{number}", f"{before}", f"{delay_ms}", f"{priority}", *entries],
    )


def publish_result(reply: Any, queue: str, call: Call) -> None:
    """Raises QueueNotFoundError, LengthLimitedError, BrokerReplyError."""
    if reply >= 0:
        return
    if reply == -1:
        raise QueueNotFoundError(queue)
    if reply == -4:
        raise LengthLimitedError(f"the length of {queue} is limited: publish_checked is needed")
    raise BrokerReplyError(
        f"another client has written to {call[0][-1]}, so Redis cannot tell whether these messages are stored: "
        "publish them again if duplicates are better than losses"
    )


def claim_call(k: QueueKeys, worker: str, want: int, finished: Sequence[Any]) -> Call:
    own = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed]
    return [*own, k.messages, k.attempts, k.wake, k.stats], [worker, f"{want}", *finished]


def claim_result(reply: Any, queue: str, worker: str) -> Claimed:
    """Raises LeaseLostError."""
    status = reply[0]
    if status == 1:
        _, ids, envelopes, attempts = reply
        if len(ids) == 1:
            return Claimed([(ids[0], envelopes[0], attempts[0] if attempts else None)])
        counts = attempts or [None] * len(ids)
        return Claimed(list(zip(reversed(ids), reversed(envelopes), reversed(counts))))
    if status == 0:
        return Claimed((), None if reply[1] < 0 else reply[1] / 1000)
    raise LeaseLostError(queue, worker)


def retry_call(
    k: QueueKeys, worker: str, message_id: str, attempts_before: str, attempts_after: str, delay_ms: int,
    total: str = "retried",
) -> Call:  # fmt: skip
    key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed, k.attempts, k.wake, k.stats]
    return key_names, [worker, message_id, attempts_before, attempts_after, delay_ms, total]


def retry_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def dead_letter_call(
    k: QueueKeys, worker: str, message_id: str | bytes, attempts_before: str | bytes, record: bytes
) -> Call:
    own = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats]
    return [*own, *dead_letter_keys(k), result_key(k, message_id)], [worker, message_id, attempts_before, record]


def dead_letter_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def dead_letter_keys(k: QueueKeys) -> list[str]:
    """Keys of the destination of a dead letter: the dead-letter queue, or `parked` of this one."""
    dead = k.dead_letters()
    return [k.parked if k.is_dead_letter_queue else dead.waiting, dead.messages, dead.meta, dead.wake]


def discard_call(
    k: QueueKeys, worker: str, message_id: str, attempts_before: str, record: bytes, state: str = DISCARDED
) -> Call:
    key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats, k.result(message_id)]
    return key_names, [worker, message_id, attempts_before, record, state]


def discard_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def release_call(k: QueueKeys, worker: str, number: int, message_ids: Sequence[Any], *, started: bool) -> Call:
    key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake, k.releases]
    return key_names, [worker, number, int(started), *message_ids]


def release_result(reply: Any, queue: str, worker: str) -> int:
    """Number of released messages. Raises LeaseLostError."""
    return check_lease(reply, queue, worker)


def replay_call(
    k: QueueKeys, message_id: str | bytes, priority: int, version: str = "", edited: bytes = b"", nonce: str = ""
) -> Call:
    """`k` are the keys of the original queue; `nonce` is the same for all replays of a caller."""
    dead = k.dead_letters()
    places = [dead.waiting, dead.prioritized, dead.delayed, dead.parked, dead.messages, dead.attempts]
    target = [k.meta, k.waiting, k.prioritized, k.messages, k.attempts, k.wake, k.stats, result_key(k, message_id)]
    return [*places, *target], [message_id, priority, version, edited, nonce]


def replay_result(reply: Any, queue: str) -> bool:
    """False if the dead letter is not there, or has another version. Raises QueueNotFoundError, UniqueKeyInUseError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    if reply == -2:
        raise UniqueKeyInUseError(queue)
    return bool(reply == 1)


def delete_call(k: QueueKeys, place: str, message_ids: Sequence[bytes], nonce: str = "") -> Call:
    return [place, k.messages, k.attempts, k.stats], [nonce, *message_ids]


def delete_result(reply: Any) -> int:
    """Number of deleted messages."""
    return int(reply)


def delete_message_call(k: QueueKeys, message_id: str | bytes, nonce: str = "") -> Call:
    places = [k.waiting, k.prioritized, k.delayed, k.parked]
    return [*places, k.messages, k.attempts, k.stats], [message_id, nonce]


def delete_message_result(reply: Any) -> bool | None:
    """False if the message is not stored, None if a worker holds it."""
    return None if reply == -1 else bool(reply == 1)


def promote_call(k: QueueKeys, message_id: str | bytes, nonce: str = "") -> Call:
    return [k.waiting, k.prioritized, k.delayed, k.attempts, k.wake, k.stats], [message_id, nonce]


def promote_result(reply: Any) -> bool:
    """False if the message is not delayed."""
    return bool(reply == 1)
