"""`record` keeps the newest progress and checkpoint of a held message, and nothing of others."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq import BrokerReplyError, LeaseLostError
from bizzmq.broker.broker import Broker
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.records import KeptOutput
from tests.scripts.containers import put
from tests.scripts.moves import DEAD, QUEUE, held

K = QueueKeys(QUEUE)


def record(broker: Broker, checkpoint: bytes, number: int, *, worker: str = "w1", queue: str = QUEUE) -> bool:
    return broker.record(queue, worker, "m1", progress=b"p%d" % number, checkpoint=checkpoint, number=number)


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_it_is_kept_beside_the_queue(redis: Redis, broker: Broker, queue: str) -> None:
    put(redis, queue, held("m1"))

    assert record(broker, b"first\nline", 1, queue=queue)
    assert record(broker, b"", 2, queue=queue)

    assert broker.checkpoint(QUEUE, "m1") == broker.checkpoint(DEAD, "m1") == b"first\nline"
    assert redis.hgetall(K.progress) == {"m1": "p2"}
    assert redis.hgetall(K.extras) == {"m1": "{}"}
    assert broker.checkpoint(QUEUE, "m2") == b""


def test_a_late_copy_of_an_older_checkpoint_changes_nothing(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    record(broker, b"old", 9)
    record(broker, b"new", 10)

    assert record(broker, b"old", 9)
    assert record(broker, b"same number", 10)
    assert broker.checkpoint(QUEUE, "m1") == b"new"


@pytest.mark.parametrize("name", ["progress", "checkpoint", "output", "profile"])
def test_one_thing_is_kept_without_the_others(redis: Redis, broker: Broker, name: str) -> None:
    keys = {"progress": K.progress, "checkpoint": K.checkpoints, "output": K.output, "profile": K.profiles}
    put(redis, QUEUE, held("m1"))

    for value in (b"first", b"second"):
        assert broker.record(QUEUE, "w1", "m1", number=len(value), **{name: value})  # type: ignore[arg-type]

    assert {one for one, key in keys.items() if redis.exists(key)} == {name}
    assert (redis.hget(keys[name], "m1") or "").endswith("second")
    assert redis.hgetall(K.extras) == {"m1": "{}"}


def test_output_that_is_kept_for_some_time_is_not_beside_the_message(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))

    assert broker.record(QUEUE, "w1", "m1", kept_output=KeptOutput(b"printed", 60_000))

    (key,) = redis.keys("*:result:*")
    assert redis.get(key) == "printed"
    assert 30_000 < redis.pttl(key) <= 60_000
    assert not redis.exists(K.extras, K.output)


def test_progress_stays_when_only_a_checkpoint_is_recorded_and_so_do_others_things(
    redis: Redis, broker: Broker
) -> None:
    put(redis, QUEUE, held("m1", extras={"m1": '{"unique":"a"}'}))
    record(broker, b"", 1)

    assert broker.record(QUEUE, "w1", "m1", checkpoint=b"saved", number=2)

    assert redis.hgetall(K.progress) == {"m1": "p1"}
    assert redis.hgetall(K.extras) == {"m1": '{"unique":"a"}'}


def test_another_worker_counts_from_the_start(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    record(broker, b"of w1", 700)
    redis.flushall()
    put(redis, QUEUE, held(workers={"w2": "s2"}, processing={"w2": ("m1",)}))
    redis.hset(K.checkpoints, "m1", "w1 700\nof w1")

    assert record(broker, b"of w2", 1, worker="w2")
    assert broker.checkpoint(QUEUE, "m1") == b"of w2"


def test_a_worker_without_a_lease_is_told(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    with pytest.raises(LeaseLostError):
        record(broker, b"x", 1, worker="w9")
    assert not redis.exists(K.checkpoints, K.progress, K.extras)


@pytest.mark.parametrize("forged", ["", "no number", "w1 x\n", "w1 99999999999999999999\nx", "\x00", "w1 -5\nx"])
def test_a_forged_checkpoint_is_replaced_or_unreadable(redis: Redis, broker: Broker, forged: str) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(K.checkpoints, "m1", forged)

    assert record(broker, b"{}", 1)
    assert broker.checkpoint(QUEUE, "m1") in (b"{}", b"x")


@pytest.mark.parametrize("key", [K.checkpoints, K.progress, K.extras])
def test_a_key_of_the_wrong_type_is_an_error_and_changes_nothing_else(redis: Redis, broker: Broker, key: str) -> None:
    put(redis, QUEUE, held("m1"))
    redis.set(key, "forged")

    with pytest.raises(BrokerReplyError):
        record(broker, b"x", 1)

    assert sum(redis.exists(one) for one in (K.checkpoints, K.progress, K.extras)) == 1


def test_only_a_new_profile_beside_sixty_four_others_removes_the_oldest(redis: Redis, broker: Broker) -> None:
    others = [f"l{number:02}" for number in reversed(range(63))]
    put(redis, QUEUE, held("m1", "m2"))
    redis.hset(K.profiles, mapping={"m1": "old", **dict.fromkeys(others, "old")})

    assert broker.record(QUEUE, "w1", "m1", profile=b"again")
    assert {*redis.hkeys(K.profiles)} == {"m1", *others}
    assert broker.record(QUEUE, "w1", "m2", profile=b"new")
    assert {*redis.hkeys(K.profiles)} == {"m1", "m2", *others} - {"l00"}

    redis.hdel(K.profiles, *others)
    redis.hset(K.profiles, "l00", "old")
    redis.hdel(K.profiles, "m2")
    assert broker.record(QUEUE, "w1", "m2", profile=b"new")
    assert {*redis.hkeys(K.profiles)} == {"l00", "m1", "m2"}


def test_a_queue_keeps_the_profiles_of_the_newest_messages(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(K.profiles, mapping={f"l{number:02}": "old" for number in range(64)})

    for profile in (b"first", b"second"):  # the second one has its place already
        assert broker.record(QUEUE, "w1", "m1", profile=profile)

    assert redis.hget(K.profiles, "m1") == "second"
    assert {*redis.hkeys(K.profiles)} == {"m1", *(f"l{number:02}" for number in range(1, 64))}
    assert redis.hgetall(K.extras) == {"m1": "{}"}
    redis.set(K.profiles, "of another type")
    assert broker.record(QUEUE, "w1", "m1", profile=b"lost", progress=b"[1]")
    assert redis.hgetall(K.progress) == {"m1": "[1]"}
