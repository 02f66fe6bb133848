"""A key of the wrong type: the call fails before it changes anything, so a repetition does nothing twice."""

from __future__ import annotations

from itertools import product
from typing import Any, Dict

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Terms
from bizzmq.errors import BrokerReplyError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.layout import Keys
from tests.scripts import table_repairs
from tests.scripts.containers import PAST, Containers, envelope, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, Move, claim_ids, held
from tests.scripts.test_moves import MOVES
from tests.scripts.test_wrong_types import WiretappedConnection, given

CASES = MOVES
NAMES = (
    "meta", "messages", "attempts", "supervisors", "workers", "releases", "stats", "waiting", "parked", "prioritized",
    "delayed", "wake",
)  # fmt: skip
KEYS = Keys(QUEUE)
K = QueueKeys(QUEUE)
UNDECLARED = (
    K.messages, K.attempts, K.stats, K.extras, K.unique, K.cancels, K.checkpoints, K.progress, K.output, K.history,
    K.pauses, K.suspended,
)  # fmt: skip
"""Keys that scripts use for messages that have something beside them, and need not declare."""


def _differing(before: Dict[str, Any], after: Dict[str, Any]) -> list[str]:
    """Changed keys, without the index of queues, the marker, and a total that was undone."""
    if after.get(KEYS.stats) == {"published": "0"}:
        del after[KEYS.stats]
    matter = {*before, *after} - {"bizzmq:queues", KEYS.wake}
    return sorted(name for name in matter if before.get(name) != after.get(name))


def _has_anything_beside(move: Move) -> bool:
    return any(one.extras or one.cancels or one.pauses or one.suspended for one in (move.before, move.after))


@pytest.mark.parametrize("move", CASES, ids=str)
def test_a_call_that_fails_has_changed_nothing(url: str, redis: Redis, move: Move) -> None:
    connection = WiretappedConnection(url)
    broker = Broker(connection)
    given(redis, move)
    move.call(broker)
    problems = []

    for key in sorted({*connection.keys, *(UNDECLARED if _has_anything_beside(move) else ())}):
        given(redis, move)
        redis.set(key, "of the wrong type")
        before = everything(redis)
        try:
            move.call(broker)
        except BrokerReplyError:
            changed = _differing(before, everything(redis))
            if changed:
                problems.append(f"{key}: {changed}")

    connection.drop()
    assert problems == []


@pytest.mark.parametrize(("delay_ms", "priority"), [(0, 0), (0, 5), (60_000, 0), (60_000, 5)])
@pytest.mark.parametrize(
    "key",
    [KEYS.messages, KEYS.attempts, KEYS.waiting, KEYS.prioritized, KEYS.delayed, KEYS.wake, KEYS.stats],
)
def test_a_later_request_of_a_publisher_changes_all_or_nothing(
    broker: Broker, redis: Redis, key: str, delay_ms: int, priority: int
) -> None:
    """It checks fewer types before its first write than the first request of a publisher."""
    put(redis, QUEUE, Containers())
    broker.publish(QUEUE, "pub", 1, 0, 0, [b"m0", envelope("m0")])
    redis.set(key, "of the wrong type")
    before = everything(redis)

    try:
        broker.publish(QUEUE, "pub", 2, delay_ms, priority, [b"m1", envelope("m1")])
    except BrokerReplyError:
        assert everything(redis) == before
    else:
        assert redis.hget(KEYS.messages, "m1") is not None
        places = [redis.lrange(KEYS.waiting, 0, -1)] if redis.type(KEYS.waiting) == "list" else []
        places += [redis.zrange(name, 0, -1) for name in (KEYS.prioritized, KEYS.delayed) if redis.type(name) == "zset"]
        assert [ids.count("m1") for ids in places if ids].count(1) == 1
        assert redis.hget(KEYS.stats, "published") == "2"


@pytest.mark.parametrize("key", [KEYS.messages, KEYS.attempts, KEYS.stats])
@pytest.mark.parametrize("acked", [("m1", "m2"), ("m2", "m3")], ids=["in order", "out of order"])
def test_a_claim_acks_all_or_nothing(broker: Broker, redis: Redis, key: str, acked: tuple[str, str]) -> None:
    put(redis, QUEUE, held("m1", "m2", "m3", attempts={"m1": "1 0 0 0"}))
    before = everything(redis)
    if redis.exists(key):
        redis.rename(key, "saved")
    redis.set(key, "of the wrong type")

    for _ in range(2):
        with pytest.raises(BrokerReplyError):
            claim_ids(broker, 0, *acked)
    redis.delete(key)
    if redis.exists("saved"):
        redis.rename("saved", key)

    assert everything(redis) == before
    claim_ids(broker, 0, *acked)
    assert redis.hgetall(KEYS.stats)["acked"] == "2"
    assert look(redis, QUEUE).ids() == {"m1", "m2", "m3"} - {*acked}


@pytest.mark.parametrize(("key", "counts"), [(KEYS.prioritized, "0 0 0 5"), (KEYS.waiting, "0 0 0 0")])
def test_a_claim_promotes_all_or_nothing(broker: Broker, redis: Redis, key: str, counts: str) -> None:
    """The first due message could be promoted, the next one could not."""
    attempts = {"m1": "0 0 0 0" if key == KEYS.prioritized else "0 0 0 5", "m2": counts}
    put(redis, QUEUE, held(due=("m1", "m2"), attempts=attempts))
    redis.set(key, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        claim_ids(broker, 2)

    assert everything(redis) == before


@pytest.mark.parametrize(("key", "counts"), [(KEYS.prioritized, "0 0 0 0"), (KEYS.waiting, "0 0 0 5")])
def test_a_claim_that_fails_has_promoted_nothing(broker: Broker, redis: Redis, key: str, counts: str) -> None:
    """Not even if the message would not go to the key of the wrong type."""
    put(redis, QUEUE, held(due=("m1",), attempts={"m1": counts}))
    redis.set(key, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        claim_ids(broker, 1)

    assert everything(redis) == before


@pytest.mark.parametrize(("name", "place"), [("messages", "waiting"), ("meta", "due"), ("waiting", "due"),
                                             ("wake", "waiting")])  # fmt: skip
def test_a_claim_that_cannot_dead_letter_an_expired_message_takes_none(
    broker: Broker, redis: Redis, name: str, place: str
) -> None:
    """Taken, it would be returned and run by the next claim."""
    expired = {"m1": "{" + PAST + "}"}
    put(redis, QUEUE, held(**{place: ("m1", "m2")}, extras=expired, options={"dead_letter_expired": "1"}))
    redis.set(getattr(Keys(DEAD), name), "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        claim_ids(broker, 2)

    assert everything(redis) == before


@pytest.mark.parametrize("key", [KEYS.messages, KEYS.waiting, KEYS.stats, KEYS.wake])
def test_a_failed_publish_raises_and_can_be_repeated(broker: Broker, redis: Redis, key: str) -> None:
    put(redis, QUEUE, Containers())
    redis.set(key, "of the wrong type")
    with pytest.raises(BrokerReplyError):
        broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", envelope("m1")])
    redis.delete(key)

    broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", envelope("m1")])

    after = look(redis, QUEUE)
    assert (after.waiting, after.stats) == (("m1",), {"published": 1})


@pytest.mark.parametrize(("key", "urgent"), [(KEYS.waiting, "m3"), (KEYS.prioritized, "m2"), (KEYS.wake, "m3")])
def test_a_release_of_prefetched_messages_returns_all_or_nothing(
    broker: Broker, redis: Redis, key: str, urgent: str
) -> None:
    """The first released message, m3, does not go to the key of the wrong type."""
    put(redis, QUEUE, held("m1", "m2", "m3", attempts={urgent: "0 0 0 5"}))
    redis.set(key, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        broker.release_prefetched(QUEUE, "w1", "m1", 1)

    assert everything(redis) == before


def test_a_release_returns_all_or_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1", "m2", attempts={"m1": "0 0 0 5"}))
    redis.set(KEYS.prioritized, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        broker.release(QUEUE, "w1", 1, ["m2", "m1"], started=True)

    assert everything(redis) == before


def test_a_drop_that_fails_has_dropped_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers(waiting=("f",), forged=("f",)))
    redis.set(KEYS.attempts, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        table_repairs.dropping_missing("f", "waiting")(broker)

    assert everything(redis) == before


def test_a_replay_to_a_priority_moves_all_or_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    put(redis, DEAD, Containers(waiting=("m1",)))
    redis.set(KEYS.prioritized, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        broker.replay(QUEUE, "m1", 3)

    assert everything(redis) == before


@pytest.mark.parametrize("mode", ["empty", "all"])
@pytest.mark.parametrize(
    ("name", "queue"),
    [*product([*NAMES, "processing"], [QUEUE, DEAD]), ("schedules", QUEUE), ("due", QUEUE), ("fires", QUEUE)],
)
def test_what_stands_in_a_key_of_the_wrong_type_is_not_deleted_with_its_queue(
    broker: Broker, redis: Redis, name: str, queue: str, mode: str
) -> None:
    """It may be somebody's."""
    put(redis, QUEUE, Containers())
    keys = Keys(queue)
    key = keys.processing("w1") if name == "processing" else getattr(keys, name)
    lists = [key.encode()] if name == "processing" else []
    redis.delete(key)
    redis.set(key, "of the wrong type")
    before = everything(redis)

    with pytest.raises(BrokerReplyError):
        broker.delete_queue(QUEUE, lists, mode, b"")

    assert everything(redis) == before


@pytest.mark.parametrize(("delay_ms", "priority"), [(0, 0), (0, 5), (60_000, 0), (60_000, 5)])
@pytest.mark.parametrize(
    "key",
    [KEYS.messages, KEYS.attempts, KEYS.waiting, KEYS.prioritized, KEYS.delayed, KEYS.wake, KEYS.stats, K.extras,
     K.unique],
)  # fmt: skip
def test_a_later_request_of_unique_messages_changes_all_or_nothing(
    broker: Broker, redis: Redis, key: str, delay_ms: int, priority: int
) -> None:
    """It checks fewer types before its first write, too."""
    put(redis, QUEUE, Containers())
    first = CheckedRequest(1, ["m0", "m1"], ["a", "a"], [envelope("m0"), envelope("m1")])
    assert broker.publish_checked(QUEUE, "pub", first, Terms(0, 0), None).message_ids == ["m0", "m0"]
    redis.set(key, "of the wrong type")
    before = everything(redis)
    request = CheckedRequest(2, ["m2", "m3", "m4"], ["b", "c", "b"], [envelope(name) for name in ("m2", "m3", "m4")])

    try:
        broker.publish_checked(QUEUE, "pub", request, Terms(delay_ms, priority, 60_000), None)
    except BrokerReplyError:
        assert everything(redis) == before
    else:
        assert redis.hmget(KEYS.messages, "m2", "m3", "m4")[2] is None
        assert redis.hmget(K.unique, "b", "c") == ["m2", "m3"]
        places = [redis.lrange(KEYS.waiting, 0, -1)] if redis.type(KEYS.waiting) == "list" else []
        places += [redis.zrange(name, 0, -1) for name in (KEYS.prioritized, KEYS.delayed) if redis.type(name) == "zset"]
        assert [sorted({*ids} & {"m2", "m3", "m4"}) for ids in places if "m2" in ids] == [["m2", "m3"]]
