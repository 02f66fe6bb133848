"""A queue that nobody can work on is set aside alone: named, and back by itself once it is mended."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Dict

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.audit import audit
from bizzmq.broker import Broker
from bizzmq.census import overview
from bizzmq.connections import connect
from bizzmq.doctor import examine
from bizzmq.doctor_finding import Level
from bizzmq.keys import MAX_SHARDS
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.asking import status_of
from tests.support.spoilt import spoilt

GOOD = "good"
K = Keys(QUEUE)
FAST = ("--lease=2",)
UNREADABLE: Dict[str, Dict[str, str]] = {
    "retries": {"max_retries": "x"}, "first count": {"retry": "x"}, "negative": {"max_retries": "-1"},
    "no seconds": {"timeout_s": "nan"}, "no backoff": {"retry_backoff_s": "-1"}, "shards": {"shards": "x"},
    "endless text": {"timeout_s": "9" * 5000}, "too many shards": {"shards": "257"}, "layout": {"layout": "2"},
    "flag": {"dead_letter": "maybe"},
}  # fmt: skip
HUGE = {"max_retries": "9" * 40, "retry_backoff_s": "1e308", "retry_backoff_max_s": "1e308", "timeout_s": "1e300"}
KEYS = ["meta", "messages", "attempts", "waiting", "prioritized", "delayed", "supervisors", "workers", "stats", "wake"]


@pytest.fixture
def two(scene: Scene) -> Scene:
    scene.mq.create_queue(GOOD, QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0))
    return scene


def good_work_goes_on(scene: Scene) -> None:
    ids = scene.publish({"do": "ok"}, {"do": "ok"}, queue=GOOD)
    ids += scene.publish({"do": "raise", "times": 1}, queue=GOOD)
    scene.ledger.wait_handled(*ids, timeout_s=PATIENCE_S)


def nobody_has_left(pool: Pool, janitor: int) -> None:
    assert pool.worker_pids() == pool.started_worker_pids(), pool.log()
    assert pool.janitor_pid() == janitor, pool.log()
    assert "Traceback" not in pool.log()


def is_named(scene: Scene, pool: Pool, queue: str = QUEUE) -> None:
    """By the log, and by each command."""
    log_says(pool, f"the queue is set aside, it cannot be worked on queue={queue}")
    broker = Broker(connect(scene.url))
    try:
        assert any(f"queue {queue} is set aside" in one.what for one in examine(broker) if one.level is Level.FAIL)
        assert not audit(broker, queue, 0.0).balanced
        rows = {row["queue"]: row for row in overview(broker)}
        assert "waiting" in rows[GOOD]
        assert "error" in rows[queue]
    finally:
        broker.connection.drop()


def aside(control: Path) -> str:
    """What `bizzmq pool` says about the queue."""
    rows = status_of(control)["queues"]
    return next((str(row["aside"]) for row in rows if row["queue"] == QUEUE), "")


def test_options_that_cannot_be_read_set_their_queue_aside_alone(two: Scene, runtime: Path) -> None:
    control = runtime / "control"
    pool = two.pool(*FAST, f"--control={control}", queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()
    log_says(pool, "worker ready", times=2)

    for name, fields in UNREADABLE.items():
        (field, value) = next(iter(fields.items()))
        stored = command(two.redis, "HGET", K.meta, field)
        command(two.redis, "HSET", K.meta, field, value)
        eventually(lambda: f"option {field} " in aside(control), PATIENCE_S, lambda: f"{name}: {pool.log()}")  # noqa: B023
        good_work_goes_on(two)
        if name == "retries":
            is_named(two, pool)
        if stored is None:
            command(two.redis, "HDEL", K.meta, field)
        else:
            command(two.redis, "HSET", K.meta, field, stored)
        eventually(lambda: not aside(control), PATIENCE_S, lambda: f"{name}: {pool.log()}")  # noqa: B023

    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    two.settle(extra_runs=len(UNREADABLE))
    nobody_has_left(pool, janitor)
    two.retire(pool)


def test_options_beyond_all_bounds_are_at_the_bound(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()

    command(two.redis, "HSET", K.meta, *[part for pair in HUGE.items() for part in pair])
    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    failing = two.publish_one({"do": "raise"})
    eventually(lambda: command(two.redis, "ZSCORE", K.delayed, failing), PATIENCE_S, pool.log)
    good_work_goes_on(two)

    nobody_has_left(pool, janitor)
    assert "set aside" not in pool.log()


@pytest.mark.parametrize("shards", [3, MAX_SHARDS])
def test_shards_that_are_missing_are_made_and_keep_no_other_queue_waiting(two: Scene, shards: int) -> None:
    """A node of a cluster may have lost its data, or somebody has written into the options."""
    waits = two.publish_one({"do": "ok"})
    command(two.redis, "HSET", K.meta, "shards", shards)

    pool = two.pool(queue=[QUEUE, GOOD])

    good_work_goes_on(two)
    two.ledger.wait_handled(waits, timeout_s=PATIENCE_S)
    assert two.mq.stats(QUEUE).acked == 1
    two.retire(pool)


def test_a_wrong_type_sets_its_queue_aside_alone(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()

    for name in KEYS:
        with spoilt(two.redis, getattr(K, name)):
            good_work_goes_on(two)
            if name in ("meta", "workers"):
                is_named(two, pool)
        two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)

    nobody_has_left(pool, janitor)
    two.retire(pool)


def test_a_queue_that_has_lost_its_options_and_gets_no_new_ones_is_named(two: Scene) -> None:
    """As a whole it is not there; what is left of it keeps everybody from making it anew."""
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])

    with spoilt(two.redis, K.waiting):
        command(two.redis, "DEL", K.meta, K.messages)
        log_says(pool, "does not exist")
        is_named(two, pool)
        good_work_goes_on(two)

    eventually(lambda: two.redis.exists(K.meta), PATIENCE_S, pool.log)
    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    two.retire(pool)


@pytest.mark.parametrize(
    ("name", "queues"),
    [("meta", [GOOD, QUEUE]), ("supervisors", [QUEUE, GOOD]), ("workers", [GOOD, QUEUE]), ("options", [QUEUE, GOOD])],
)
def test_a_pool_starts_on_all_queues_but_the_bad_one(two: Scene, name: str, queues: list[str]) -> None:
    waiting = two.publish({"do": "ok"})
    if name == "options":
        command(two.redis, "HSET", K.meta, "max_retries", "x")
        pool = _started_beside_a_bad_queue(two, queues)
        command(two.redis, "HSET", K.meta, "max_retries", "3")
    else:
        with spoilt(two.redis, getattr(K, name)):
            pool = _started_beside_a_bad_queue(two, queues)

    two.ledger.wait_handled(*waiting, timeout_s=PATIENCE_S)
    log_says(pool, f"the queue is worked on again queue={QUEUE}")
    assert pool.worker_pids() == pool.started_worker_pids(), pool.log()
    two.retire(pool)


def _started_beside_a_bad_queue(scene: Scene, queues: list[str]) -> Pool:
    pool = scene.pool(*FAST, queue=queues, ready=False)
    good_work_goes_on(scene)
    log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
    return pool


def test_the_only_queue_of_a_pool_comes_back_too(scene: Scene) -> None:
    waiting = scene.publish({"do": "ok"})
    command(scene.redis, "HSET", K.meta, "retry", "x")
    pool = scene.pool(*FAST)
    log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
    janitor = pool.janitor_pid()

    command(scene.redis, "HSET", K.meta, "retry", "0")

    scene.ledger.wait_handled(*waiting, timeout_s=PATIENCE_S)
    nobody_has_left(pool, janitor)
    scene.settle()
    scene.retire(pool)


def test_workers_that_die_beside_a_bad_queue_are_replaced_and_settled_everywhere_else(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()
    command(two.redis, "HSET", K.meta, "max_retries", "x")

    with spoilt(two.redis, K.workers):
        crashing = two.publish({"do": "kill_self", "times": 1}, queue=GOOD)
        two.ledger.wait_handled(*crashing, timeout_s=PATIENCE_S)
        good_work_goes_on(two)
        log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
    command(two.redis, "HSET", K.meta, "max_retries", "3")

    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    assert pool.janitor_pid() == janitor
    two.retire(pool)


def test_a_drain_does_not_wait_for_a_bad_queue(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    with spoilt(two.redis, K.workers):
        log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
        pool.signal(signal.SIGTERM)
        assert pool.wait(15.0) == 0, pool.log()
    pool.assert_no_process_left()
    assert command(two.redis, "HGETALL", Keys(GOOD).workers) == {}


def test_a_consumer_in_this_process_comes_back_to_a_queue_that_is_mended(
    redis: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if it has lost its lease meanwhile, and cannot register anew while the options are unreadable."""
    seen: list[object] = []
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE)
        mq.consume_message_from_queue(QUEUE, seen.append)
        mq.publish_message_to_queue(QUEUE, 1)
        eventually(lambda: seen == [1], PATIENCE_S)
        command(redis, "HSET", K.meta, "shards", "x")
        command(redis, "DEL", K.workers, K.supervisors)
        command(redis, "ZADD", K.wake, 0, "wake")
        mq.publish_message_to_queue(QUEUE, 2)
        eventually(lambda: "set aside" in caplog.text, PATIENCE_S, lambda: caplog.text)

        command(redis, "HDEL", K.meta, "shards")
        eventually(lambda: seen == [1, 2], PATIENCE_S, lambda: f"{seen}")
