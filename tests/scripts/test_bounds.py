"""What a script does at its limits: how many messages one call touches, and when the next one is due."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from bizzmq.broker import BATCH_LIMIT, Broker
from tests.scripts.containers import LATER_MS, look, put
from tests.scripts.moves import QUEUE, claim_ids, held
from tests.support.layout import Keys

MANY = tuple(f"m{number:03}" for number in range(BATCH_LIMIT + 50))


def test_a_claim_promotes_at_most_a_batch(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(due=MANY))

    assert claim_ids(broker, 1) == ["m000"]

    after = look(redis, QUEUE)
    assert (after.waiting, after.due) == (MANY[1:BATCH_LIMIT], MANY[BATCH_LIMIT:])
    assert after.wake  # somebody has to promote the rest


def test_a_claim_that_finds_nothing_tells_when_something_is_due(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(delayed=("m1", "m2")))

    due_s = broker.claim(QUEUE, "w1", 1).due_s

    assert due_s is not None
    assert LATER_MS / 1000 - 30 < due_s <= LATER_MS / 1000


@pytest.mark.parametrize(("due_in_s", "is_marked"), [(4.0, True), (6.0, False), (3600.0, False)])
def test_who_gets_something_to_do_has_others_look_at_what_is_due_soon(
    broker: Broker, redis: Redis, due_in_s: float, is_marked: bool
) -> None:
    """Idle workers look by themselves every five seconds."""
    put(redis, QUEUE, held("m0"))
    # What is due in six seconds is due in less than five if the test is held up for that long: then it proves nothing.
    due_at_s = time.time() + due_in_s
    redis.zadd(Keys(QUEUE).delayed, {"m1": due_at_s * 1000})
    redis.hset(Keys(QUEUE).messages, "m1", "1\n1")

    assert claim_ids(broker, 1)[0] == "m0"

    if due_at_s - time.time() > 5 or is_marked:
        assert look(redis, QUEUE).wake == is_marked
