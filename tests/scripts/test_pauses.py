"""Pauses by their times and names, and scripts of pauses that must refuse."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.errors import BrokerReplyError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys
from tests.scripts.containers import Containers, look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held
from tests.scripts.table_pause import WHY

K = QueueKeys(QUEUE)
TASKS = {"m1": "a", "m2": "b"}


def now_ms(redis: Redis) -> int:
    seconds, micros = redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


@pytest.mark.parametrize("duration_ms", [0, 1, 60_000])
def test_a_pause_has_its_times_by_the_clock_of_redis(redis: Redis, broker: Broker, duration_ms: int) -> None:
    put(redis, QUEUE, Containers())
    before_ms = now_ms(redis)

    broker.pause(QUEUE, "queue", WHY.encode(), duration_ms)

    stored = json.loads(redis.hget(K.pauses, "queue") or "")
    assert before_ms <= stored["since_ms"] <= now_ms(redis)
    assert stored["by"] == "ada"
    if duration_ms:
        assert 0 <= stored["until_ms"] - stored["since_ms"] - duration_ms < 1000
    else:
        assert "until_ms" not in stored


def test_a_pause_for_longer_than_a_century_ends_after_one(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1",), pauses={"queue": '{"until_ms":99999999999999999}'}))

    found = broker.claim(QUEUE, "w1", 1, [])

    assert found.due_s is not None
    assert 3e9 < found.due_s < 3.2e9


@pytest.mark.parametrize(
    "call",
    [lambda broker: broker.pause(QUEUE, "queue", WHY.encode(), 0), lambda broker: broker.resume(QUEUE, "queue")],
    ids=["pause", "resume"],
)
def test_there_is_nothing_to_pause_without_a_queue(redis: Redis, broker: Broker, call: Callable[[Broker], Any]) -> None:
    with pytest.raises(QueueNotFoundError):
        call(broker)
    assert redis.keys("*") == []


def test_a_pause_of_a_wrong_type_is_refused(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, Containers())
    redis.set(K.pauses, "text")
    with pytest.raises(BrokerReplyError):
        broker.pause(QUEUE, "queue", WHY.encode(), 0)
    assert redis.get(K.pauses) == "text"


@pytest.mark.parametrize("suspended", ["text", "refused"])
def test_what_cannot_be_put_aside_is_claimed(redis: Redis, broker: Broker, suspended: str) -> None:
    """As for a user of Redis from before pauses: a claim does not fail for a feature that it does not know."""
    put(redis, QUEUE, held(waiting=("m1", "m2"), tasks=TASKS, pauses={"task:a": WHY}))
    redis.set(K.suspended, suspended)

    assert claim_ids(broker, 2) == ["m1", "m2"]


def test_pauses_of_a_queue_and_of_its_dead_letters_do_not_meet(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1",), pauses={"dlq:queue": WHY}))
    put(redis, DEAD, held(waiting=("d1",), tasks={"d1": "a"}))

    assert claim_ids(broker, 1) == ["m1"]
    assert claim_ids(broker, 1, queue=DEAD) == []
    redis.hdel(K.pauses, "dlq:queue")
    redis.hset(K.pauses, mapping={"queue": WHY, "task:a": WHY, "resuming": '{"until_ms":9999999999999}'})
    assert claim_ids(broker, 1, queue=DEAD) == ["d1"]


def test_the_later_end_counts_for_a_paused_queue_to_which_messages_return(redis: Redis, broker: Broker) -> None:
    in_an_hour_ms = now_ms(redis) + 3_600_000
    for soon, late in (("queue", "resuming"), ("resuming", "queue")):
        redis.flushall()
        pauses = {soon: json.dumps({"until_ms": now_ms(redis) + 5000}), late: json.dumps({"until_ms": in_an_hour_ms})}
        put(redis, QUEUE, held(waiting=("m1",), pauses=pauses))
        found = broker.claim(QUEUE, "w1", 1, [])
        assert found.due_s is not None
        assert found.due_s > 3000


def test_a_claim_looks_at_about_a_hundred_messages(redis: Redis, broker: Broker) -> None:
    many = tuple(f"m{number:03}" for number in range(250))
    put(redis, QUEUE, held(waiting=(*many, "n"), tasks=dict.fromkeys(many, "a"), pauses={"task:a": WHY}))

    assert claim_ids(broker, 1) == []
    assert len(look(redis, QUEUE).suspended) == 100
    assert look(redis, QUEUE).wake, "the next claim goes on"
    assert [claim_ids(broker, 1) for _ in range(2)] == [[], ["n"]]
    assert look(redis, QUEUE).suspended == many


@pytest.mark.parametrize(("returned", "begun", "holds"), [(1, 0, True), (0, 0, False), (0, 5, True), (99, 0, True)])
def test_workers_are_held_off_from_the_first_page_on_that_returns_something(
    redis: Redis, broker: Broker, returned: int, begun: int, holds: bool
) -> None:
    many = tuple(f"m{number:03}" for number in range(150))
    tasks = {name: "b" if index >= 150 - returned else "a" for index, name in enumerate(many)}
    resuming = json.dumps({"until_ms": begun})
    put(redis, QUEUE, Containers(suspended=many, tasks=tasks, pauses={"task:a": WHY, "resuming": resuming}))

    assert broker.resume(QUEUE, "").returned == returned

    until_ms = json.loads(redis.hget(K.pauses, "resuming") or "")["until_ms"]
    assert (0 < until_ms - now_ms(redis) <= 10_000) if holds else until_ms == 0


def test_a_first_page_that_returns_nothing_holds_no_worker_off(redis: Redis, broker: Broker) -> None:
    many = tuple(f"m{number:03}" for number in range(150))
    put(redis, QUEUE, Containers(suspended=many, tasks=dict.fromkeys(many, "a"), pauses={"task:a": WHY, "task:b": WHY}))

    assert broker.resume(QUEUE, "task:b").returned == 0

    assert json.loads(redis.hget(K.pauses, "resuming") or "") == {"until_ms": 0}


def test_the_history_has_what_was_put_aside_and_resumed(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1",), tasks={"m1": "a"}, pauses={"task:a": WHY}, extras={"history": "1"}))
    assert claim_ids(broker, 1) == []
    assert broker.resume(QUEUE, "task:a").returned == 1
    assert claim_ids(broker, 1) == ["m1"]

    lines = (redis.hget(K.history, "m1") or "").splitlines()[1:]
    assert [line.split("\t")[1] for line in lines] == ["suspended", "resumed", "claimed"]
