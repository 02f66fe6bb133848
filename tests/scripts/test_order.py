"""Messages of one priority keep the order in which they became waiting. A forged score breaks only this order."""

from __future__ import annotations

import math

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.testing.layout import Keys
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, claim_ids, held

KEYS = Keys(QUEUE)
EXACT = [
    sign * size for size in (1, 2, 3, 5, 7, 8, 1000, 2**31 - 1, 2**31, 2**45, 2**46 - 1) for sign in (1, -1)
]  # fmt: skip


def publish(broker: Broker, number: int, priority: int, *ids: str) -> None:
    broker.publish(QUEUE, "pub", number, 0, priority, [part for name in ids for part in (name, b"1\n1")])


@pytest.mark.parametrize("priority", EXACT)
def test_heads_and_tails_keep_their_order_with_any_ids(broker: Broker, redis: Redis, priority: int) -> None:
    put(redis, QUEUE, held())
    publish(broker, 1, priority, "z", "y", "x")
    assert claim_ids(broker, 2) == ["z", "y"]
    broker.release(QUEUE, "w1", 1, ["y", "z"])
    publish(broker, 2, priority, "b", "a")
    assert claim_ids(broker, 1) == ["z"]

    broker.retry(QUEUE, "w1", "z", f"0 0 0 {priority}", f"1 0 0 {priority}", 0)

    assert redis.zrange(KEYS.prioritized, 0, -1) == ["y", "x", "b", "a", "z"]
    scores = [score for _, score in redis.zrange(KEYS.prioritized, 0, -1, withscores=True)]
    assert {math.floor(score) for score in scores} == {-priority}
    assert len(set(scores)) == 5


@pytest.mark.parametrize("priority", [2**50, 2**51, 2**52 - 1, 2**52, 2**53 - 1, 2**53])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_message_keeps_its_priority_where_scores_have_no_room(
    broker: Broker, redis: Redis, priority: int, sign: int
) -> None:
    put(redis, QUEUE, held())

    for number in range(6):
        publish(broker, number + 1, sign * priority, f"m{number}")

    scores = [score for _, score in redis.zrange(KEYS.prioritized, 0, -1, withscores=True)]
    assert {math.floor(score) for score in scores} == {-sign * priority}
    assert redis.zrange(KEYS.prioritized, 0, -1) == [f"m{number}" for number in range(6)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("size", "places"), [(5, (0.5, 0.5 + 2**-50)), (2**50, (0.5, 0.75)), (2**51 - 2, (0.5, 0.75)), (2**51, (0.0, 0.0))]
)  # fmt: skip
def test_scores_keep_the_order_while_doubles_have_quarters(
    broker: Broker, redis: Redis, size: int, places: tuple[float, float], sign: int
) -> None:
    put(redis, QUEUE, held())

    publish(broker, 1, sign * size, "z")
    publish(broker, 2, sign * size, "a")

    assert [redis.zscore(KEYS.prioritized, name) for name in ("z", "a")] == [-sign * size + place for place in places]


@pytest.mark.parametrize("priority", [5, -5])
def test_the_head_is_before_all_others_down_to_the_lowest_score(broker: Broker, redis: Redis, priority: int) -> None:
    put(redis, QUEUE, held())
    publish(broker, 1, priority, "z")
    assert claim_ids(broker, 1) == ["z"]
    redis.zadd(KEYS.prioritized, {"a": -priority + 2**-50, "b": -priority + 0.5, "c": -priority + 0.75})

    broker.release(QUEUE, "w1", 1, ["z"])

    assert redis.zrange(KEYS.prioritized, 0, -1) == ["z", "a", "b", "c"]
    assert redis.zscore(KEYS.prioritized, "z") == -priority


@pytest.mark.parametrize("priority", [5, -5])
def test_one_script_keeps_head_and_tail_apart(broker: Broker, redis: Redis, priority: int) -> None:
    put(redis, QUEUE, held())
    publish(broker, 1, priority, "failed", "behind", "last")
    assert claim_ids(broker, 3) == ["failed", "behind", "last"]
    publish(broker, 2, priority, "waits")

    broker.requeue(QUEUE, "w1", DeadWorker("failed", "failed", outcome="retry", attempts_after=f"1 0 0 {priority}"))

    assert redis.zrange(KEYS.prioritized, 0, -1) == ["behind", "last", "waits", "failed"]


@pytest.mark.parametrize("priority", [5, -5, 1, -1])
@pytest.mark.parametrize("fraction", [0.0, 1e-300, 0.3, 1 - 2**-40, 1 - 2**-50])
def test_a_forged_score_keeps_all_messages_in_their_priority(
    broker: Broker, redis: Redis, priority: int, fraction: float
) -> None:
    put(redis, QUEUE, held())
    redis.zadd(KEYS.prioritized, {"forged": -priority + fraction})

    publish(broker, 1, priority, "a", "b", "c")

    scores = dict(redis.zrange(KEYS.prioritized, 0, -1, withscores=True))
    assert {math.floor(scores[name]) for name in "abc"} == {-priority}
    assert sorted("abc", key=lambda name: (scores[name], name)) == ["a", "b", "c"]


def test_a_message_of_an_older_version_is_at_the_head_of_its_priority(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    publish(broker, 1, 5, "a")

    redis.hset(KEYS.messages, "old", "1\n1")
    redis.zadd(KEYS.prioritized, {"old": -5})

    assert claim_ids(broker, 2) == ["old", "a"]


def test_a_batch_searches_its_score_once(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    redis.config_resetstat()

    publish(broker, 1, 5, *[f"m{number:03}" for number in range(500)])

    assert redis.info("commandstats")["cmdstat_zrevrangebyscore"]["calls"] == 1
    assert redis.zrange(KEYS.prioritized, 0, -1) == [f"m{number:03}" for number in range(500)]
