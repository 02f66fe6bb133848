"""Forged values in Redis: they make no call fail, and a failed call has changed nothing."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.broker.schedules import Fired, ScheduleState
from bizzmq.broker.workers import DeadWorker
from bizzmq.errors import BrokerReplyError
from bizzmq.message import PRIORITY_LIMIT
from bizzmq.protocol.attempts import Attempts
from bizzmq.schedules.planning import plan
from bizzmq.schedules.schedule import decode
from bizzmq.testing.layout import Keys
from tests.scripts.containers import NOW, Containers, everything, look, put
from tests.scripts.moves import DEAD, QUEUE, Move, claim_ids, held
from tests.scripts.table_schedules import occurrence, one
from tests.scripts.test_moves import MOVES
from tests.scripts.test_wrong_types import given

KEYS = Keys(QUEUE), Keys(DEAD)
DIGITS = "1" + "0" * 400
COUNTS = (
    f"0 0 0 {DIGITS}", f"0 0 0 -{DIGITS}", f"{DIGITS} {DIGITS} {DIGITS} 0", "x", "", "\0", "0 0 0 nan", "0 0 0 -0",
    "0 0 0", "-1 0 0 0", "00 0 0 5", "0 0 0 0x10",
    " ".join(["9999999999999999"] * 4), "10000000000000000 0 0 5", "0 10000000000000000 0 5",
    "0 0 10000000000000000 5", "0 0 0 10000000000000000",
    "0 0 0 0\t", "0 0 0 5\tno end\n", "1e5 0 0 0",
)  # fmt: skip
TOTALS = ("x", "", "1e400", "9223372036854775807", "-9223372036854775808", "0x10", " 1", "1.5", DIGITS)
SCORES = ("inf", "-inf", "1e300", "-1e300", "5e-324")
Plant = Callable[[Redis], object]


def plants(move: Move) -> Dict[str, Plant]:
    """Forged values in all places that the call reads."""
    found: Dict[str, Plant] = {}
    ids = sorted({*move.before.ids(), *move.before_dead.ids()})
    for keys in KEYS:
        for value in COUNTS:
            found[f"attempts {value[:20]!r} {keys.prefix}"] = lambda redis, keys=keys, value=value: [
                redis.hset(keys.attempts, name, value) for name in ids
            ]
        for value in TOTALS:
            found[f"stats {value[:20]!r} {keys.prefix}"] = lambda redis, keys=keys, value=value: redis.hset(
                keys.stats, mapping=dict.fromkeys(COUNTED, value)
            )
            found[f"releases {value[:20]!r} {keys.prefix}"] = lambda redis, keys=keys, value=value: redis.hset(
                keys.releases, "w1", value
            )
            found[f"retry {value[:20]!r} {keys.prefix}"] = lambda redis, keys=keys, value=value: (
                redis.hset(keys.meta, "retry", value) if redis.exists(keys.meta) else None
            )
        for score in SCORES:
            for place in (keys.prioritized, keys.delayed):
                found[f"score {score} {place}"] = lambda redis, place=place, score=score: redis.execute_command(
                    "ZADD", place, score, "forged"
                )
    return found


COUNTED = (
    "published", "acked", "retried", "requeued", "discarded", "dead_lettered", "purged", "cancelled", "replayed",
    "missing", "restored", "written_off",
)  # fmt: skip


@pytest.mark.parametrize("script", scripts.names())
def test_no_forged_value_makes_a_call_fail(broker: Broker, redis: Redis, script: str) -> None:
    problems = []
    for move in [move for move in MOVES if move.script == script][:3]:
        for name, plant in plants(move).items():
            given(redis, move)
            plant(redis)
            before = everything(redis)
            try:
                move.call(broker)
            except BrokerReplyError as error:
                problems.append(f"{move}: {name}: {error}; changed: {everything(redis) != before}")
    assert problems == []


@pytest.mark.parametrize("value", COUNTS)
def test_a_batch_with_unreadable_counts_is_requeued_once(broker: Broker, redis: Redis, value: str) -> None:
    put(redis, QUEUE, held("m1", "m2", "m3"))
    redis.hset(KEYS[0].attempts, "m2", value)

    done = broker.requeue(QUEUE, "w1", DeadWorker("stopped"))

    assert done is not None
    assert done.requeued == 3
    after = look(redis, QUEUE)
    assert sorted([*after.waiting, *after.prioritized]) == ["m1", "m2", "m3"]
    assert 0 not in after.prioritized.values()


@pytest.mark.parametrize("value", [*COUNTS, "5 6 7 8", "9007199254740992 0 0 5", "9007199254740991 1 2 -5\t{}"])
def test_counts_are_read_by_scripts_as_they_are_by_workers(broker: Broker, redis: Redis, value: str) -> None:
    """Counts that a worker cannot read are zero. Readable ones keep their priority and their record."""
    put(redis, QUEUE, held("m1"))
    redis.hset(KEYS[0].attempts, "m1", value)
    try:
        read = Attempts.decode(value.encode())
    except ValueError:
        read = Attempts()

    broker.release(QUEUE, "w1", 1, ["m1"], started=True)

    stored = redis.hget(KEYS[0].attempts, "m1")
    assert stored is not None
    counted = Attempts.decode(stored.encode())
    assert (counted.priority, counted.last_crash) == (read.priority, read.last_crash)
    assert counted.requeues == min(min(read.requeues, PRIORITY_LIMIT) + 1, PRIORITY_LIMIT)
    assert counted.retries == min(read.retries, PRIORITY_LIMIT)


@pytest.mark.parametrize("value", TOTALS)
def test_an_unreadable_counter_stays_for_the_operator_and_its_spare_goes_on(
    broker: Broker, redis: Redis, value: str
) -> None:
    put(redis, QUEUE, held("m1", "m2"))
    redis.hset(KEYS[0].stats, "acked", value)

    for name in ("m1", "m2"):
        claim_ids(broker, 0, name)

    stats = redis.hgetall(KEYS[0].stats)
    if value == "-9223372036854775808":  # it has room
        assert stats == {"acked": "-9223372036854775806"}
    else:
        assert stats == {"acked": value, "acked:spare": "2"}


@pytest.mark.parametrize("value", [value for value in TOTALS if value != "-9223372036854775808"])
def test_a_counter_with_an_unreadable_spare_makes_no_call_fail(broker: Broker, redis: Redis, value: str) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(KEYS[0].stats, mapping={"acked": value, "acked:spare": value})

    claim_ids(broker, 0, "m1")

    assert look_stats(redis) == {"acked": value, "acked:spare": value}
    assert redis.exists(KEYS[0].processing("w1")) == 0


def look_stats(redis: Redis) -> Dict[str, Any]:
    return dict(redis.hgetall(KEYS[0].stats))


@pytest.mark.parametrize("value", [*TOTALS, "-5", "-1", "0"])
def test_a_heartbeat_replaces_any_invalid_counter(broker: Broker, redis: Redis, value: str) -> None:
    put(redis, QUEUE, held(supervisors={"s1": value}))

    first, second = broker.heartbeat(QUEUE, "s1").counter, broker.heartbeat(QUEUE, "s1").counter

    assert 0 < first < second
    assert redis.hget(KEYS[0].supervisors, "s1") == str(second)


@pytest.mark.parametrize("number", ["x", "", "nan", "inf", "1e300", "102", "9007199254740992", DIGITS, "-1"])
def test_no_forged_number_confirms_a_publish(broker: Broker, redis: Redis, number: str) -> None:
    put(redis, QUEUE, Containers())
    redis.set(f"{KEYS[0].prefix}publisher:pub", number)
    before = everything(redis)

    with pytest.raises(BrokerReplyError, match="publisher:pub"):
        broker.publish(QUEUE, "pub", 1, 0, 0, ["m1", b"1\n1"])

    assert everything(redis) == before


def test_a_message_with_an_empty_id_is_claimed_and_dead_lettered_and_acks_no_other(
    broker: Broker, redis: Redis
) -> None:
    put(redis, QUEUE, held(waiting=("", "m1"), attempts={"": "0 0 0 0\t{}"}))

    assert claim_ids(broker, 2) == ["", "m1"]
    assert broker.dead_letter(QUEUE, "w1", "", "0 0 0 0\t{}", b"{}")
    done = broker.requeue(QUEUE, "w1", DeadWorker("crash"))

    assert done is not None
    assert (done.requeued, done.acked, done.quarantined) == (1, 0, "")
    assert (look(redis, QUEUE).waiting, look(redis, DEAD).waiting) == (("m1",), ("",))


@pytest.mark.parametrize("size", [1000, 20_000])
def test_a_list_longer_than_any_worker_holds_is_worked_off(broker: Broker, redis: Redis, size: int) -> None:
    put(redis, QUEUE, held("m1"))
    redis.lpush(KEYS[0].processing("w1"), *[f"forged{index}" for index in range(size)])

    assert claim_ids(broker, 1) == ["m1"]
    for _ in range(size // 200 + 1):
        claim_ids(broker, 1)

    assert redis.lrange(KEYS[0].processing("w1"), 0, -1) == ["m1"]
    assert redis.hget(KEYS[0].stats, "missing") == str(size)


def test_an_infinite_due_time_is_returned_as_a_finite_one(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    redis.execute_command("ZADD", KEYS[0].delayed, "inf", "m1")

    due_s = broker.claim(QUEUE, "w1", 1).due_s

    assert due_s is not None
    assert 0 < due_s < 1e10


@pytest.mark.parametrize("retry", ["x", "-1", "01", DIGITS, "1e3", ""])
def test_an_invalid_initial_retry_count_keeps_the_priority(broker: Broker, redis: Redis, retry: str) -> None:
    put(redis, QUEUE, Containers())
    redis.hset(KEYS[0].meta, "retry", retry)

    broker.publish(QUEUE, "pub", 1, 0, 5, [b"m1", b"1\n1"])
    assert redis.hget(KEYS[0].attempts, "m1") == "0 0 0 5"

    put(redis, DEAD, Containers(waiting=("m2",)))
    assert broker.replay(QUEUE, "m2", 5)
    assert redis.hget(KEYS[0].attempts, "m2") == "0 0 0 5"


def test_an_empty_id_in_the_list_of_a_dead_worker_hides_no_finished_message(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("", "m1", "m2"))

    done = broker.requeue(QUEUE, "w1", DeadWorker("stopped", running="", last_finished="m1"))

    assert done is not None
    assert done.requeued == 1
    assert look(redis, QUEUE).waiting == ("m2",)
    assert redis.hget(KEYS[0].messages, "m1") is None


@pytest.mark.parametrize("score", ["-inf", "-1e300", "1.5", "1e12", "-1"])
def test_a_schedule_with_a_forged_due_time_fires_once(broker: Broker, redis: Redis, score: str) -> None:
    put(redis, QUEUE, one(score))
    (due,) = broker.due_schedules(QUEUE).due
    schedule = decode("s", QUEUE, due.definition)

    outcomes = [broker.fire(QUEUE, plan(due, schedule, 2_000_000_000_000)) for _ in range(2)]

    assert outcomes == [[Fired.FIRED], [Fired.ELSEWHERE]]
    assert len(look(redis, QUEUE).waiting) == 1


@pytest.mark.parametrize(
    "state", ["", "x", "1 2 m 3", f"{DIGITS} 0 m 0 0", "0 0 m -1 0", "0 0 m 0 0\t", "0 0 m 0 0\t\n"]
)
def test_an_unreadable_state_of_a_schedule_counts_as_none(broker: Broker, redis: Redis, state: str) -> None:
    put(redis, QUEUE, one(waiting=("m",)))
    redis.hset(KEYS[0].fires, "s", state)

    assert broker.due_schedules(QUEUE).due[0].state == ScheduleState()
    assert broker.fire(QUEUE, [occurrence(action="skip")]) == [Fired.FIRED]

    assert look(redis, QUEUE).fires == {"s": f"1000 {NOW} m1 1 0"}
