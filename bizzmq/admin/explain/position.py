"""How many messages are before a waiting one. The work is bounded, however long the queue is."""

from __future__ import annotations

from typing import Any, Optional

from bizzmq.admin.paging.pages import IdSet
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.protocol.keys import QueueKeys

_WINDOW, _WINDOWS = 1000, 10
WITHIN = _WINDOW * _WINDOWS
"""A message with this many others before it in its list is not searched any further, unless the list is in order."""


def messages_before(k: QueueKeys, message_id: bytes, place: str) -> Operation[Optional[int]]:
    """How many messages of a queue or shard are claimed before this one; None if that is not known.

    Args:
        place: `waiting` or `prioritized`.
    """
    if place == "prioritized":
        return (yield from _before_in_set(k, message_id))
    before = yield from _before_in_list(k, message_id)
    if before is None:
        return None
    return before + (yield from IdSet(k.prioritized, high=0.0).size())


def _before_in_set(k: QueueKeys, message_id: bytes) -> Operation[Optional[int]]:
    score, waiting = yield Together([("ZSCORE", k.prioritized, message_id), ("LLEN", k.waiting)])
    if score is None:
        return None
    before = yield from IdSet(k.prioritized).rank(float(score), message_id)
    return before + (int(waiting) if float(score) >= 0 else 0)


def _before_in_list(k: QueueKeys, message_id: bytes) -> Operation[Optional[int]]:
    """The index from the head. Ids are nearly in order, so a binary search finds the place of most in long lists."""
    size = int((yield command("LLEN", k.waiting)))
    guess = yield from _place_in_order(k, message_id, size)
    found = yield from _index_in(k, message_id, max(0, guess - _WINDOW // 2), guess + _WINDOW // 2)
    for first in range(0, min(size, WITHIN), _WINDOW):
        if found is not None:
            break
        found = yield from _index_in(k, message_id, first, first + _WINDOW)
    return found


def _place_in_order(k: QueueKeys, message_id: bytes, size: int) -> Operation[int]:
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        one = yield command("LRANGE", k.waiting, -middle - 1, -middle - 1)
        if one and one[0] < message_id:
            low = middle + 1
        else:
            high = middle
    return low


def _index_in(k: QueueKeys, message_id: bytes, first: int, end: int) -> Operation[Optional[int]]:
    newest_first: Any = yield command("LRANGE", k.waiting, -end, -first - 1)
    for number, one in enumerate(reversed(newest_first)):
        if one == message_id:
            return first + number
    return None
