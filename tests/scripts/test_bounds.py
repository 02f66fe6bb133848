"""Limits of scripts: messages in one call, and due times."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from bizzmq.admin import purge
from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.schedules import Fired
from bizzmq.broker.workers import DeadWorker
from bizzmq.testing.layout import Keys
from tests.scripts.containers import LATER_MS, Containers, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held
from tests.scripts.table_schedules import LATER, occurrence, one

MANY = tuple(f"m{number:03}" for number in range(BATCH_LIMIT + 50))


def test_a_claim_promotes_at_most_a_batch(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(due=MANY))

    assert claim_ids(broker, 1) == ["m000"]

    after = look(redis, QUEUE)
    assert (after.waiting, after.due) == (MANY[1:BATCH_LIMIT], MANY[BATCH_LIMIT:])
    assert after.wake  # another worker must promote the rest


def test_a_claim_of_all_promoted_messages_wakes_others_for_the_rest(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(due=MANY))

    assert len(claim_ids(broker, BATCH_LIMIT)) == BATCH_LIMIT

    after = look(redis, QUEUE)
    assert (after.waiting, after.wake) == ((), True)


def test_a_claim_that_finds_nothing_sets_no_marker_for_what_is_due_soon(broker: Broker, redis: Redis) -> None:
    """A woken worker would find nothing either and wake the next one: all would stay awake until the message is due."""
    put(redis, QUEUE, held())
    redis.hset(Keys(QUEUE).messages, "m1", "1\n1")
    redis.zadd(Keys(QUEUE).delayed, {"m1": time.time() * 1000 + 4000})

    assert claim_ids(broker, 1) == []

    assert not look(redis, QUEUE).wake


def test_an_empty_claim_returns_when_the_next_message_is_due(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(delayed=("m1", "m2")))

    due_s = broker.claim(QUEUE, "w1", 1).due_s

    assert due_s is not None
    assert LATER_MS / 1000 - 30 < due_s <= LATER_MS / 1000


@pytest.mark.parametrize(("due_in_s", "is_marked"), [(4.0, True), (6.0, False), (3600.0, False)])
def test_a_worker_with_a_message_wakes_others_for_messages_that_are_due_soon(
    broker: Broker, redis: Redis, due_in_s: float, is_marked: bool
) -> None:
    """Idle workers claim on their own every five seconds."""
    put(redis, QUEUE, held("m0"))
    # If the test is delayed for a second, the message is due in less than five seconds: then the test proves nothing.
    due_at_s = time.time() + due_in_s
    redis.zadd(Keys(QUEUE).delayed, {"m1": due_at_s * 1000})
    redis.hset(Keys(QUEUE).messages, "m1", "1\n1")

    assert claim_ids(broker, 1)[0] == "m0"

    if due_at_s - time.time() > 5 or is_marked:
        assert look(redis, QUEUE).wake == is_marked


@pytest.mark.parametrize("delay_ms", [1, 2])
def test_a_delay_of_one_millisecond_delays(broker: Broker, redis: Redis, delay_ms: int) -> None:
    put(redis, QUEUE, held("m1"))

    broker.publish(QUEUE, "pub", 1, delay_ms, 0, ["m2", b"1\n1"])
    broker.retry(QUEUE, "w1", "m1", "0 0 0 0", "1 0 0 0", delay_ms)

    assert sorted(redis.zrange(Keys(QUEUE).delayed, 0, -1)) == ["m1", "m2"]


def test_a_delay_of_one_millisecond_delays_what_a_schedule_publishes(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, one())

    assert broker.fire(QUEUE, [occurrence(delay_ms=1)]) == [Fired.FIRED]

    assert redis.zrange(Keys(QUEUE).delayed, 0, -1) == ["m1"]


def test_a_look_at_due_schedules_returns_at_most_4_mib_of_definitions(broker: Broker, redis: Redis) -> None:
    """And when the first of the others is due: now, for those that did not fit."""
    half = "x" * 2**21
    due = {"a": half, "b": half, "c": "y", "d": half * 3, "later": "z"}
    put(redis, QUEUE, Containers(schedules=due, next_due={**dict(zip(due, range(1, 9))), "later": LATER}))

    pages = [broker.due_schedules(QUEUE, leave_out) for leave_out in range(4)]

    assert [[found.name for found in page.due] for page in pages] == [[b"a", b"b"], [b"b", b"c"], [b"c"], [b"d"]]
    assert [page.next_ms == page.now_ms for page in pages] == [True, True, True, False]
    assert pages[3].next_ms == LATER


def test_a_delay_of_one_millisecond_delays_a_failed_message(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1"))

    broker.requeue(QUEUE, "w1", DeadWorker("failed", "m1", outcome="retry", attempts_after="1 0 0 0", delay_ms=1))

    assert redis.zrange(Keys(QUEUE).delayed, 0, -1) == ["m1"]


def test_delays_are_counted_from_now(broker: Broker, redis: Redis) -> None:
    two = {"w1": ("m1",), "w2": ("m2",)}
    put(redis, QUEUE, Containers(workers=dict.fromkeys(two, "s1"), processing=two))
    now_ms = _now_ms(redis)

    broker.publish(QUEUE, "pub", 1, LATER_MS, 0, ["m3", b"1\n1"])
    broker.retry(QUEUE, "w1", "m1", "0 0 0 0", "1 0 0 0", LATER_MS)
    broker.requeue(
        QUEUE, "w2", DeadWorker("failed", "m2", outcome="retry", attempts_after="1 0 0 0", delay_ms=LATER_MS)
    )

    due = dict(redis.zrange(Keys(QUEUE).delayed, 0, -1, withscores=True))
    assert set(due) == {"m1", "m2", "m3"}
    assert all(0 <= due_ms - now_ms - LATER_MS < LATER_MS for due_ms in due.values())


def test_a_delay_is_counted_from_a_moment_within_the_call(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())

    for number in range(100):
        before_ms = _now_ms(redis)
        broker.publish(QUEUE, "pub", number + 1, LATER_MS, 0, [f"m{number}", b"1\n1"])
        after_ms = _now_ms(redis)
        due_ms = redis.zscore(Keys(QUEUE).delayed, f"m{number}")
        assert due_ms is not None
        assert before_ms <= due_ms - LATER_MS <= after_ms


def _now_ms(redis: Redis) -> int:
    seconds, micros = redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def test_a_purge_stops_at_its_limit_in_every_place(broker: Broker, redis: Redis) -> None:
    full = Containers(waiting=("m1",), prioritized={"m2": 1}, due=("m3",), parked=("m4",))
    put(redis, DEAD, full)

    left = []
    for _ in range(4):
        assert purge.purge(broker, DEAD, 1) == 1
        left.append(look(redis, DEAD).ids())

    assert left == [{"m2", "m3", "m4"}, {"m3", "m4"}, {"m4"}, set()]


@pytest.mark.parametrize("what", ["crash", "stopped"])
def test_only_a_crash_of_the_running_message_quarantines(broker: Broker, redis: Redis, what: str) -> None:
    """Other messages may have reached the limit already if it was lowered since."""
    before = {"m1": "0 5 0 0", "m2": "0 5 0 0"}
    put(redis, QUEUE, held("m1", "m2", attempts=before))

    done = broker.requeue(QUEUE, "w1", DeadWorker(what, "m1", crash_limit=3))

    assert done is not None
    assert done.quarantined == ("m1" if what == "crash" else "")
    after = look(redis, QUEUE)
    assert after.attempts == ({"m2": "0 5 0 0"} if what == "crash" else {"m1": "0 5 1 0", "m2": "0 5 0 0"})
    assert after.waiting == (("m2",) if what == "crash" else ("m1", "m2"))


def test_a_replayed_message_keeps_its_priority(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    put(redis, DEAD, Containers(waiting=("m1",), attempts={"m1": "4 0 0 3"}))

    assert broker.replay(QUEUE, "m1", 3)

    assert look(redis, QUEUE) == Containers(
        prioritized={"m1": 3}, attempts={"m1": "0 0 0 3"}, wake=True, stats={"replayed": 1}
    )


def test_a_dead_letter_without_an_envelope_is_not_replayed(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    put(redis, DEAD, Containers(waiting=("m1",), forged=("m1",)))
    before = everything(redis)

    assert not broker.replay(QUEUE, "m1", 0)

    assert everything(redis) == before
