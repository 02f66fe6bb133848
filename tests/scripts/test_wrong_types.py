"""A key of the wrong type: the call may fail, but loses no message."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.errors import BrokerReplyError
from bizzmq.testing.layout import Keys
from tests.scripts.containers import put
from tests.scripts.moves import DEAD, QUEUE, Move
from tests.scripts.test_moves import MOVES

# These scripts must keep all messages that they do not end on purpose.
KEEPING = (
    "claim",
    "retry",
    "dead_letter",
    "finish",
    "release",
    "release_prefetched",
    "requeue",
    "replay",
    "promote",
    "requeue_unplaced",
    "deduplicate",
    "requeue_unregistered",
    "resume",
)
CASES = [move for move in MOVES if move.script in KEEPING and move.before != move.after]


class WiretappedConnection(Connection):
    """Records the keys of the last script call."""

    keys: tuple[str, ...] = ()

    def execute_plain(self, args: tuple[str | bytes, ...]) -> Any:
        if args[0] in ("EVAL", "EVALSHA"):
            self.keys = tuple(key if isinstance(key, str) else key.decode() for key in args[3 : 3 + int(args[2])])
        return super().execute_plain(args)


def given(redis: Redis, move: Move) -> None:
    redis.flushall()
    put(redis, QUEUE, move.before)
    put(redis, DEAD, move.before_dead)


def stored(redis: Redis, queue: str) -> set[str]:
    """Ids in a readable list or set of the queue that have an envelope."""
    keys = Keys(queue)
    places: set[str] = set()
    lists = [keys.waiting, keys.parked, *redis.keys(keys.processing("*"))]
    for key, read in [(key, redis.lrange) for key in lists] + [
        (key, redis.zrange) for key in (keys.prioritized, keys.delayed, keys.prefix + "suspended")
    ]:
        try:
            places.update(read(key, 0, -1))
        except ResponseError:
            continue  # the key of the wrong type
    try:
        return places & set(redis.hkeys(keys.messages))
    except ResponseError:
        return places  # the envelopes were overwritten by the test itself


@pytest.mark.parametrize("move", CASES, ids=str)
def test_no_message_is_lost_when_a_key_has_the_wrong_type(url: str, redis: Redis, move: Move) -> None:
    connection = WiretappedConnection(url)
    broker = Broker(connection)
    given(redis, move)
    move.call(broker)
    ended = {*move.before.ids(), *move.before_dead.ids()} - {*move.after.ids(), *move.after_dead.ids()}
    problems = []

    for key in sorted(set(connection.keys)):
        given(redis, move)
        redis.set(key, "of the wrong type")
        before = stored(redis, QUEUE) | stored(redis, DEAD)
        try:
            move.call(broker)
        except BrokerReplyError as error:
            assert "WRONGTYPE" in str(error)  # noqa: PT017 - it may also work
        lost = before - ended - stored(redis, QUEUE) - stored(redis, DEAD)
        if lost:
            problems.append(f"{key}: {sorted(lost)}")

    connection.drop()
    assert problems == []
