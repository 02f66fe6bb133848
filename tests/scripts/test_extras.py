"""What a message has beside it goes with the message, whichever script ends it, and stays with it until then."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Terms
from bizzmq.broker.workers import DeadWorker, Requeued
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.layout import Keys
from tests.scripts.containers import look, put
from tests.scripts.moves import DEAD, QUEUE, Move, claim_ids, held
from tests.scripts.test_moves import MOVES

K = QueueKeys(QUEUE)
BY_ID = [K.extras, K.checkpoints, K.progress, K.history, K.cancels, K.output, K.profiles]


def ids_in(redis: Redis) -> set[str]:
    """The ids that have an envelope, in the queue or its dead-letter queue."""
    return set(redis.hkeys(Keys(QUEUE).messages)) | set(redis.hkeys(Keys(DEAD).messages))


def begin(redis: Redis, move: Move) -> set[str]:
    """The contents before the move, each message with everything beside it. Returns the ids."""
    put(redis, QUEUE, move.before)
    put(redis, DEAD, move.before_dead)
    ids = ids_in(redis)
    for one in ids:
        for key in BY_ID:
            redis.hset(key, one, json.dumps({"unique": f"the only {one}"}))
    for one in redis.hkeys(K.messages):  # dead letters have no keys
        redis.hset(K.unique, f"the only {one}", one)
    return ids


def is_plain(move: Move) -> bool:
    """Whether a row is about messages that have nothing beside them, and about a queue that stays."""
    others = ("delete_queue", "publish_checked", "find_leftovers", "repair_leftovers")
    return move.script not in others and not (move.before.extras or move.after.extras)


@pytest.mark.parametrize("move", [move for move in MOVES if is_plain(move)], ids=str)
def test_it_goes_with_the_message_and_not_before(redis: Redis, broker: Broker, move: Move) -> None:
    before = begin(redis, move)

    move.call(broker)

    left = before & ids_in(redis)
    assert {key: set(redis.hkeys(key)) for key in BY_ID} == dict.fromkeys(BY_ID, left)
    if move.script != "deduplicate":  # it may leave a key whose message has gone, which counts for nothing
        assert set(redis.hvals(K.unique)) == left & set(redis.hkeys(K.messages))


def test_a_unique_key_that_another_message_has_by_now_stays(redis: Redis, broker: Broker) -> None:
    redis.hset(K.messages, "m1", "1\n1")
    redis.lpush(K.waiting, "m1")
    redis.hset(K.extras, "m1", json.dumps({"unique": "tenant-7"}))
    redis.hset(K.unique, "tenant-7", "m2")

    assert broker.delete_message(QUEUE, "m1")

    assert redis.hgetall(K.unique) == {"tenant-7": "m2"}


@pytest.mark.parametrize("key", [*BY_ID, K.unique])
def test_a_key_of_the_wrong_type_beside_messages_stops_no_end(redis: Redis, broker: Broker, key: str) -> None:
    for kind in ("claim", "delete"):
        redis.flushall()
        redis.hset(K.messages, "m1", "1\n1")
        redis.lpush(K.waiting if kind == "delete" else K.processing("w1"), "m1")
        redis.hset(K.workers, "w1", "s1")
        redis.hset(K.extras, "m1", json.dumps({"unique": "x"}))
        redis.hset(K.unique, "x", "m1")
        redis.delete(key)
        redis.set(key, "forged")

        if kind == "claim":
            broker.claim(QUEUE, "w1", 0, [b"m1"])
        else:
            broker.delete_message(QUEUE, "m1")

        assert not redis.exists(K.messages, K.processing("w1"), K.waiting)
        assert redis.get(key) == "forged"


@pytest.mark.parametrize(
    "entry", ["", "no json", "[]", "17", '{"unique": 5}', '{"unique": ["a"]}', "\x00\xff", "[" * 2000]
)
def test_a_forged_entry_goes_with_its_message(redis: Redis, broker: Broker, entry: Any) -> None:
    redis.hset(K.messages, "m1", "1\n1")
    redis.lpush(K.waiting, "m1")
    redis.hset(K.extras, "m1", entry)

    assert broker.delete_message(QUEUE, "m1")

    assert not redis.exists(K.extras)


def test_a_requested_cancel_is_found_when_the_message_goes_back(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    broker.cancel(QUEUE, b"{}", ["m1"])

    broker.release(QUEUE, "w1", 1, ["m1"])

    assert look(redis, QUEUE).stats == {"cancelled": 1}
    assert not redis.exists(*BY_ID, K.messages)


def test_requests_that_cannot_be_read_count_as_not_made(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(K.extras, "m1", "{}")
    redis.set(K.cancels, "forged")

    assert broker.release(QUEUE, "w1", 1, ["m1"]) == 1

    assert redis.lrange(K.waiting, 0, -1) == ["m1"]


def test_each_cancel_of_a_very_long_list_is_found(redis: Redis, broker: Broker) -> None:
    """A worker holds at most a hundred messages, but any client can forge its list."""
    ids = tuple(f"m{number:04}" for number in range(1002))
    put(redis, QUEUE, held(*ids, cancels=dict.fromkeys(ids, "{}")))

    assert broker.requeue(QUEUE, "w1", DeadWorker("stopped")) == Requeued(0, 0, "", 0)

    assert look(redis, QUEUE).stats == {"cancelled": len(ids)}


def test_a_deleted_queue_leaves_nothing_beside_it(redis: Redis, broker: Broker) -> None:
    redis.hset(K.meta, "retry", "0")
    for key in (*BY_ID, K.unique):
        redis.hset(key, "m1", "{}")

    broker.delete_queue(QUEUE, [], "all", b"")

    assert redis.keys("*") == []


def test_a_replaced_message_begins_anew(redis: Redis, broker: Broker) -> None:
    """What it has saved belongs to its earlier arguments."""
    terms = Terms(delay_ms=0, priority=0, replaces=True)
    redis.hset(K.meta, "retry", "0")
    broker.publish_checked(QUEUE, "p", CheckedRequest(1, ["m1"], ["a"], [b"1\n1"]), terms, None)
    for key in (K.checkpoints, K.progress):
        redis.hset(key, "m1", "of the first")

    found = broker.publish_checked(QUEUE, "p", CheckedRequest(2, ["m2"], ["a"], [b"1\n2"]), terms, None)

    assert list(found.message_ids) == ["m1"]
    assert redis.exists(K.checkpoints, K.progress) == 0
    assert json.loads(redis.hget(K.extras, "m1")) == {"unique": "a"}


def test_a_user_of_redis_from_before_these_keys_goes_on(
    redis: Redis, url: str, broker_factory: Callable[[str], Broker]
) -> None:
    if int(str(redis.info("server")["redis_version"]).split(".")[0]) < 6:
        pytest.skip("this server has no permissions")
    k = Keys(QUEUE)
    known = [k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats, k.workers, k.processing("*")]
    redis.acl_setuser("old", enabled=True, passwords=["+old"], keys=known, commands=["+@all"])
    put(redis, QUEUE, held("m1", waiting=("m2",)))
    old = broker_factory(url.replace("://", "://old:old@"))

    try:
        assert claim_ids(old, 2, "m1") == ["m2"]
        assert old.retry(QUEUE, "w1", "m2", "0 0 0 0", "1 0 0 0", 0)
    finally:
        redis.acl_deluser("old")

    assert look(redis, QUEUE) == held(
        waiting=("m2",), attempts={"m2": "1 0 0 0"}, stats={"acked": 1, "retried": 1}, wake=True
    )
