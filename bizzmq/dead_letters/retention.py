"""Retention: deletes dead letters that are older, or more, than the options of their queue allow.

The janitor of a pool calls it at each of its scans, an in-process consumer too. Without these options it costs one
request at each scan.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Together, command, read_time_s
from bizzmq.broker.queues import read_shards
from bizzmq.dead_letters.letters import DeadLetter, read_of
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerRefusesError
from bizzmq.protocol.keys import QueueKeys, logical_queue
from bizzmq.queue import QueueOptions
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.retention")
_PAGES = 10
"""The most pages in one call, so that heartbeats are not late; the next scan goes on."""
_FIRST_PAGE = 10
_LISTS = ("waiting", "parked")
"""Where dead letters are at rest. Others are being handled, or retried, by the dead-letter queue's own handler."""


class Allowed(NamedTuple):
    """What a shard's options allow: the age of its dead letters in seconds, and their number; None for any."""

    ttl_s: float | None
    limit: int | None


class Retention:
    """Deletes old dead letters of some queues. An error that concerns only the retention is logged once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._failing: dict[str, str] = {}

    def enforce(self, queue: str) -> None:
        """Delete what a queue or shard, or its dead-letter queue, has too much of; some pages at a time.

        Raises:
            BrokerUnavailableError
        """
        own = self._broker.keys(self._broker.keys(queue).owner)
        try:
            allowed = self._broker.perform(read_allowed(own))
            too_old = 0 if allowed.ttl_s is None else self._expire_old(own, allowed.ttl_s)
            too_many = 0 if allowed.limit is None else self._expire_many(own, allowed.limit)
        except (*QUEUE_TROUBLE, BrokerRefusesError) as error:
            self._report(queue, error)
            return
        self._failing.pop(queue, None)
        if too_old or too_many:
            log(_logger, logging.INFO, "dead letters were deleted by their queue's retention", queue=own.queue,
                too_old=too_old, too_many=too_many)  # fmt: skip

    def _report(self, queue: str, error: BizzMQError) -> None:
        if self._failing.get(queue) != str(error):
            self._failing[queue] = str(error)
            log(_logger, logging.WARNING, "old dead letters cannot be deleted", queue=queue, error=str(error))

    def _expire_old(self, own: QueueKeys, ttl_s: float) -> int:
        """Delete those that are too old, from the head of each list on. Returns how many."""
        dead, total = own.dead_letters(), 0
        for place in _LISTS:
            skip, size = 0, _FIRST_PAGE
            for _ in range(_PAGES):
                now_s = self._broker.perform(read_time_s())
                ids, letters = self._broker.perform(read_head(dead, place, skip, size))
                ages_s = [(letter, letter.age_s(now_s)) for letter in letters]
                expired = self._expire(dead, [one for one, age_s in ages_s if age_s is not None and age_s > ttl_s], 0)
                total += expired
                if len(ids) < size or any(age_s is not None and age_s <= ttl_s for _, age_s in ages_s):
                    break
                skip, size = skip + len(ids) - expired, BATCH_LIMIT
        return total

    def _expire_many(self, own: QueueKeys, limit: int) -> int:
        """Delete the oldest ones until only so many are left. Returns how many."""
        dead, total = own.dead_letters(), 0
        for _ in range(_PAGES):
            surplus = int(self._broker.connection.execute("HLEN", dead.messages)) - limit
            if surplus <= 0:
                break
            now_s = self._broker.perform(read_time_s())
            oldest = self._broker.perform(read_oldest(dead, min(surplus, BATCH_LIMIT), now_s))
            expired = sum(self._expire(dead, [one for one in oldest if one.place == place], limit) for place in _LISTS)
            total += expired
            if not expired:
                break
        return total

    def _expire(self, dead: QueueKeys, letters: Sequence[DeadLetter], least: int) -> int:
        """Delete dead letters of one list. Returns how many; those that have changed meanwhile stay."""
        if not letters:
            return 0
        place = getattr(dead, letters[0].place)
        pairs = [(letter.id, letter.version) for letter in letters]
        return self._broker.expire_dead_letters(dead.queue, place, least, pairs)


def read_head(
    dead: QueueKeys, place: str, skip: int, count: int
) -> Operation[tuple[Sequence[bytes], list[DeadLetter]]]:
    """The oldest ids of a list of a shard, and their dead letters."""
    newest_first = yield command("LRANGE", getattr(dead, place), -skip - count, -skip - 1)
    ids = list(reversed(newest_first))
    return ids, (yield from read_of(dead, ids, place))


def read_oldest(dead: QueueKeys, count: int, now_s: float) -> Operation[list[DeadLetter]]:
    """The dead letters of both lists of a shard that failed longest ago; those without a time are the oldest."""
    found: list[DeadLetter] = []
    for place in _LISTS:
        found += (yield from read_head(dead, place, 0, count))[1]
    ages_s = [letter.age_s(now_s) for letter in found]
    order = sorted(range(len(found)), key=lambda at: -(ages_s[at] or 0.0) if ages_s[at] is not None else -math.inf)
    return [found[at] for at in order[:count]]


def read_allowed(own: QueueKeys) -> Operation[Allowed]:
    """What the options of a queue or shard allow.

    Raises:
        DecodeError: an option is unreadable.
    """
    names = ("dead_letter_ttl_s", "dead_letter_limit")
    replies = yield Together([("HGET", own.meta, name) for name in names])
    stored = {name: value.decode("utf-8", "replace") for name, value in zip(names, replies) if value}
    if not stored:
        return Allowed(None, None)
    options = QueueOptions.from_meta(stored)
    limit = options.dead_letter_limit
    if limit is not None:
        shards = yield from read_shards(QueueKeys(logical_queue(own.queue)))
        limit = -(-limit // len(shards))
    return Allowed(options.dead_letter_ttl_s, limit)
