"""An unusable queue is set aside alone: it is reported, and it returns by itself once it is repaired."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Dict, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.admin.stats import overview
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.doctor.examine import examine
from bizzmq.doctor.findings import Level
from bizzmq.queue import MAX_SHARDS
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.pool_status import status_of
from tests.support.wrong_type import wrong_type

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


def check_good_queue_works(scene: Scene) -> None:
    ids = scene.publish({"do": "ok"}, {"do": "ok"}, queue=GOOD)
    ids += scene.publish({"do": "raise", "times": 1}, queue=GOOD)
    scene.ledger.wait_handled(*ids, timeout_s=PATIENCE_S)


def no_process_has_exited(pool: Pool, janitor: int) -> None:
    assert pool.worker_pids() == pool.started_worker_pids(), pool.log()
    assert pool.janitor_pid() == janitor, pool.log()
    assert "Traceback" not in pool.log()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_named(scene: Scene, pool: Pool, queue: str = QUEUE) -> None:
    """Check that the log and each command name the queue."""
    log_says(pool, f"the queue is set aside, it cannot be worked on queue={queue}")
    broker = Broker(connect(scene.url))
    try:
        assert any(f"queue {queue} is set aside" in one.what for one in examine(broker) if one.level is Level.FAIL)
        assert not audit(broker, queue, 0.0).balanced
        rows = {row.queue: row.as_dict() for row in overview(broker)}
        assert "waiting" in rows[GOOD]
        assert "error" in rows[queue]
    finally:
        broker.connection.drop()


def aside(control: Path) -> str:
    """The output of `bizzmq pool` about the queue."""
    rows = status_of(control)["queues"]
    return next((str(row["aside"]) for row in rows if row["queue"] == QUEUE), "")


def test_unreadable_options_set_only_their_queue_aside(two: Scene, runtime: Path) -> None:
    control = runtime / "control"
    pool = two.pool(*FAST, f"--control={control}", queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()
    log_says(pool, "worker ready", times=2)

    for name, fields in UNREADABLE.items():
        (field, value) = next(iter(fields.items()))
        stored = command(two.redis, "HGET", K.meta, field)
        command(two.redis, "HSET", K.meta, field, value)
        eventually(lambda: f"option {field} " in aside(control), PATIENCE_S, lambda: f"{name}: {pool.log()}")  # noqa: B023
        check_good_queue_works(two)
        if name == "retries":
            is_named(two, pool)
        if stored is None:
            command(two.redis, "HDEL", K.meta, field)
        else:
            command(two.redis, "HSET", K.meta, field, stored)
        eventually(lambda: not aside(control), PATIENCE_S, lambda: f"{name}: {pool.log()}")  # noqa: B023

    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    two.settle(extra_runs=len(UNREADABLE))
    no_process_has_exited(pool, janitor)
    two.retire(pool)


def test_options_out_of_range_are_clamped(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()

    command(two.redis, "HSET", K.meta, *[part for pair in HUGE.items() for part in pair])
    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    failing = two.publish_one({"do": "raise"})
    eventually(lambda: command(two.redis, "ZSCORE", K.delayed, failing), PATIENCE_S, pool.log)
    check_good_queue_works(two)

    no_process_has_exited(pool, janitor)
    assert "set aside" not in pool.log()


@pytest.mark.parametrize("shards", [3, MAX_SHARDS])
def test_missing_shards_are_created_without_delaying_other_queues(two: Scene, shards: int) -> None:
    """A node of a cluster may have lost its data, or the stored options were overwritten."""
    waits = two.publish_one({"do": "ok"})
    command(two.redis, "HSET", K.meta, "shards", shards)

    pool = two.pool(queue=[QUEUE, GOOD])

    check_good_queue_works(two)
    two.ledger.wait_handled(waits, timeout_s=PATIENCE_S)
    eventually(lambda: two.mq.stats(QUEUE).acked == 1, PATIENCE_S, pool.log)
    two.retire(pool)


def test_a_wrong_type_sets_only_its_queue_aside(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()

    for name in KEYS:
        with wrong_type(two.redis, getattr(K, name)):
            check_good_queue_works(two)
            if name in ("meta", "workers"):
                is_named(two, pool)
        two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)

    no_process_has_exited(pool, janitor)
    two.retire(pool)


def test_a_queue_that_lost_its_options_is_reported(two: Scene) -> None:
    """The janitor's next scan creates it again. It is paused here, because the scan might come first."""
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])

    with wrong_type(two.redis, K.waiting):
        with stopped(pool.janitor_pid()):
            command(two.redis, "DEL", K.meta, K.messages)
            log_says(pool, "does not exist")
            is_named(two, pool)
        check_good_queue_works(two)

    eventually(lambda: two.redis.exists(K.meta), PATIENCE_S, pool.log)
    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    two.retire(pool)


@pytest.mark.parametrize(
    ("name", "queues"),
    [("meta", [GOOD, QUEUE]), ("supervisors", [QUEUE, GOOD]), ("workers", [GOOD, QUEUE]), ("options", [QUEUE, GOOD])],
)
def test_a_pool_starts_on_all_queues_except_the_bad_one(two: Scene, name: str, queues: list[str]) -> None:
    waiting = two.publish({"do": "ok"})
    if name == "options":
        command(two.redis, "HSET", K.meta, "max_retries", "x")
        pool = _started_beside_a_bad_queue(two, queues)
        command(two.redis, "HSET", K.meta, "max_retries", "3")
    else:
        with wrong_type(two.redis, getattr(K, name)):
            pool = _started_beside_a_bad_queue(two, queues)

    two.ledger.wait_handled(*waiting, timeout_s=PATIENCE_S)
    log_says(pool, f"the queue is worked on again queue={QUEUE}")
    assert pool.worker_pids() == pool.started_worker_pids(), pool.log()
    two.retire(pool)


def _started_beside_a_bad_queue(scene: Scene, queues: list[str]) -> Pool:
    pool = scene.pool(*FAST, queue=queues, ready=False)
    check_good_queue_works(scene)
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
    no_process_has_exited(pool, janitor)
    scene.settle()
    scene.retire(pool)


def test_workers_that_die_with_a_bad_queue_are_replaced_and_settled_in_all_others(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    janitor = pool.janitor_pid()
    command(two.redis, "HSET", K.meta, "max_retries", "x")

    with wrong_type(two.redis, K.workers):
        crashing = two.publish({"do": "kill_self", "times": 1}, queue=GOOD)
        two.ledger.wait_handled(*crashing, timeout_s=PATIENCE_S)
        check_good_queue_works(two)
        log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
    command(two.redis, "HSET", K.meta, "max_retries", "3")

    two.ledger.wait_handled(*two.publish({"do": "ok"}), timeout_s=PATIENCE_S)
    assert pool.janitor_pid() == janitor
    two.retire(pool)


def test_a_drain_does_not_wait_for_a_bad_queue(two: Scene) -> None:
    pool = two.pool(*FAST, queue=[QUEUE, GOOD])
    with wrong_type(two.redis, K.workers):
        log_says(pool, f"the queue is set aside, it cannot be worked on queue={QUEUE}")
        pool.signal(signal.SIGTERM)
        assert pool.wait(15.0) == 0, pool.log()
    pool.assert_no_process_left()
    assert command(two.redis, "HGETALL", Keys(GOOD).workers) == {}


def test_an_in_process_consumer_returns_to_a_repaired_queue(
    redis: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if it lost its lease meanwhile and cannot register while the options are unreadable."""
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
