"""The invariants of the fault kit: a violation is found, a healthy state passes."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.testing.invariants import (
    check_at_rest,
    check_balance,
    check_blame,
    check_duplicates,
    check_log,
    check_nobody_blamed,
    check_nothing_stranded,
    check_one_place,
    log_rate,
)
from bizzmq.testing.layout import Attempts, Keys, attempts_of, envelope_of
from bizzmq.testing.ledger import START, Ledger

Q, DLQ = Keys("q"), Keys("q_dlq")


@pytest.fixture
def healthy(redis: Redis) -> Redis:
    """A queue with one message in each place."""
    redis.rpush(Q.waiting, "waiting")
    redis.zadd(Q.prioritized, {"prioritized": -5})
    redis.zadd(Q.delayed, {"delayed": 1_700_000_000_000})
    redis.rpush(Q.processing("w1"), "running", "claimed")
    redis.rpush(DLQ.waiting, "dead")
    redis.rpush(DLQ.parked, "parked")
    redis.hset(Q.workers, "w1", "s1")
    redis.hset(Q.supervisors, "s1", "7")
    for message_id in ("waiting", "prioritized", "delayed", "running", "claimed"):
        redis.hset(Q.messages, message_id, "1\n{}")
    redis.hset(DLQ.messages, mapping={"dead": '1\t{"retries":0}\t{"type":"E"}\n[1]', "parked": "1\n{}"})
    redis.hset(Q.attempts, "delayed", "2 1 0 0")
    return redis


STORED = ["waiting", "prioritized", "delayed", "running", "claimed", "dead", "parked"]


def test_a_healthy_queue_passes(healthy: Redis) -> None:
    check_one_place(healthy, "q")
    check_nothing_stranded(healthy, "q")
    check_balance(healthy, "q", [*STORED, "finished"], lambda: ["finished", "running"])


def test_an_empty_queue_is_at_rest(redis: Redis) -> None:
    check_at_rest(redis, "q")
    check_one_place(redis, "q")


def test_an_id_in_two_places_is_found(healthy: Redis) -> None:
    healthy.rpush(DLQ.waiting, "running")
    healthy.hset(DLQ.messages, "running", "1\n{}")

    with pytest.raises(AssertionError, match=r"running is in \['q processing:w1', 'q_dlq waiting'\]"):
        check_one_place(healthy, "q")


def test_an_id_twice_in_one_list_is_found(healthy: Redis) -> None:
    healthy.rpush(Q.waiting, "waiting")

    with pytest.raises(AssertionError, match=r"waiting is in \['q waiting', 'q waiting'\]"):
        check_one_place(healthy, "q")


def test_an_id_without_a_body_is_found(healthy: Redis) -> None:
    healthy.hdel(Q.messages, "delayed")

    with pytest.raises(AssertionError, match=r"without a body: delayed(?s:.*)attempts of nothing: delayed"):
        check_one_place(healthy, "q")


def test_a_body_in_no_place_is_found(healthy: Redis) -> None:
    healthy.lrem(DLQ.parked, 1, "parked")

    with pytest.raises(AssertionError, match="q_dlq: a body but in no place: parked"):
        check_one_place(healthy, "q")


def test_a_list_of_an_unregistered_worker_is_found(healthy: Redis) -> None:
    healthy.hdel(Q.workers, "w1")

    with pytest.raises(AssertionError, match="claimed, running held by w1, which is not registered"):
        check_nothing_stranded(healthy, "q")


def test_a_worker_of_an_unregistered_supervisor_is_found(healthy: Redis) -> None:
    healthy.delete(Q.supervisors)

    with pytest.raises(AssertionError, match="w1 belongs to s1"):
        check_nothing_stranded(healthy, "q")


def test_a_lost_message_is_found(healthy: Redis) -> None:
    with pytest.raises(AssertionError, match="lost: gone"):
        check_balance(healthy, "q", [*STORED, "gone"], list)


def test_a_message_in_a_place_without_its_body_is_lost(healthy: Redis) -> None:
    healthy.hdel(Q.messages, "waiting")

    with pytest.raises(AssertionError, match="lost: waiting"):
        check_balance(healthy, "q", STORED, list)


def test_a_message_that_was_never_published_is_found(healthy: Redis) -> None:
    with pytest.raises(AssertionError, match="never published: claimed"):
        check_balance(healthy, "q", set(STORED) - {"claimed"}, list)


def test_a_queue_with_work_is_not_at_rest(healthy: Redis) -> None:
    with pytest.raises(AssertionError, match=r"at rest, q: 6 problems(?s:.*)2 dead letters, not 0: dead, parked"):
        check_at_rest(healthy, "q")


def test_dead_letters_are_counted_at_rest(redis: Redis) -> None:
    redis.rpush(DLQ.waiting, "dead")
    redis.hset(DLQ.messages, "dead", "1\n{}")

    check_at_rest(redis, "q", dead_lettered=1)


def test_blame_is_read_from_the_attempts(healthy: Redis) -> None:
    assert attempts_of(healthy, "q", "delayed") == Attempts(retries=2, crashes=1)
    assert attempts_of(healthy, "q", "waiting") == Attempts()
    check_blame(healthy, "q", "delayed", retries=2, crashes=1)
    with pytest.raises(AssertionError, match="G5 blame of delayed"):
        check_blame(healthy, "q", "delayed", retries=2)
    with pytest.raises(AssertionError, match="nobody blamed, q: 1 problems"):
        check_nobody_blamed(healthy, "q")


def test_an_envelope_is_read_in_all_its_forms(healthy: Redis) -> None:
    dead = envelope_of(healthy, "q_dlq", "dead")

    assert (dead.options, dead.error, dead.body) == ({"retries": 0}, {"type": "E"}, [1])
    assert envelope_of(healthy, "q", "waiting").error is None


def test_more_duplicates_than_allowed_are_found(ledger: Ledger) -> None:
    for delivery in (1, 2, 3):
        ledger.record(START, "m1", delivery=delivery)

    check_duplicates(ledger, allowed=2)
    with pytest.raises(AssertionError, match="2 extra runs, 1 allowed: m1"):
        check_duplicates(ledger, allowed=1)


def test_a_flood_of_log_lines_is_found() -> None:
    lines: list[str] = []

    with log_rate(lambda: "\n".join(lines)):
        lines.extend(["quiet"] * 9)
    with pytest.raises(AssertionError, match="10 lines"), log_rate(lambda: "\n".join(lines)):
        lines.extend(["loud"] * 10)


def test_a_secret_and_a_traceback_in_the_log_are_found() -> None:
    check_log("all is well", secrets=["canary"])
    with pytest.raises(AssertionError, match="a secret"):
        check_log("connected to redis://:canary@host", secrets=["canary"])
    with pytest.raises(AssertionError, match="1 tracebacks, 0 allowed"):
        check_log("Traceback (most recent call last):\n  ...")
