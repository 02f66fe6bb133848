"""The hard limits of time and CPU time: a handler that does not stop is killed, and its message fails."""

from __future__ import annotations

import resource

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.limit_handlers import ASYNC_HANDLER, CAUGHT, CLEANED, HANDLER
from tests.supervision.recording_handlers import FACTS
from tests.supervision.test_soft_limits import NEVER, error_of, events_of

LIMIT_S = 0.8
GRACE_S = 0.6


def test_a_handler_that_continues_is_killed_after_the_grace_with_its_processes(scene: Scene) -> None:
    pool = scene.pool(f"--timeout-grace={GRACE_S}", handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    processes = len(pool.living())
    body = {"do": "with_child", "path": NEVER, "then": "wait_for_lock", "times": 9}

    message = scene.publish_one(body, timeout_s=LIMIT_S, retries=1)

    error = error_of(scene, message)
    assert error["error_type"] == "MessageTimeout"
    assert f"ran past its limit of {LIMIT_S} s" in error["error"]
    assert (error["signal"], error["retry_count"], error["delivery"]) == ("SIGKILL", 1, 2)
    assert error["ran_s"] >= LIMIT_S + GRACE_S
    caught = events_of(scene, CAUGHT, message)
    assert [one["error"] for one in caught] == ["MessageTimeout"] * 2, "the exception came first"
    runs = scene.ledger.runs_of(message)
    assert [run.end for run in runs] == [None, None]
    assert runs[0].pid == worker
    assert runs[1].start.time_s - runs[0].start.time_s >= LIMIT_S + GRACE_S
    eventually(lambda: len(pool.living()) == processes, PATIENCE_S, "the processes of the handler to end")
    log_says(pool, "ran past its limit", times=2)
    scene.settle(dead_lettered=1, extra_runs=1)
    assert pool.exit_code is None
    scene.retire(pool)


@pytest.mark.parametrize("handler", [HANDLER, ASYNC_HANDLER])
def test_the_kill_is_the_messages_failure_and_not_a_crash(scene: Scene, handler: str) -> None:
    scene.redis.hset("bizzmq:{q}:meta", "retry_backoff_s", "60")  # so that it can be read in between
    pool = scene.pool("--timeout-grace=0.1", "--max-crashes=1", handler=handler, concurrency=1)

    message = scene.publish_one({"do": "hold_gil"}, timeout_s=LIMIT_S)

    eventually(lambda: scene.mq.stats(QUEUE).retried == 1, PATIENCE_S)
    invariants.check_blame(scene.redis, QUEUE, message, retries=1, crashes=0, requeues=0)
    assert not events_of(scene, CLEANED, message)
    scene.check_stored()
    assert pool.exit_code is None


def test_a_handler_that_cleans_up_within_the_grace_is_not_killed(scene: Scene) -> None:
    pool = scene.pool("--timeout-grace=30", handler=HANDLER, concurrency=1)

    body = {"do": "hang", "then": "sleep", "sleep_s": 2 * LIMIT_S}
    scene.publish_one(body, timeout_s=LIMIT_S)

    scene.settle(extra_runs=0)
    assert "worker died" not in pool.log()
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("handler", [HANDLER, ASYNC_HANDLER])
def test_a_handler_that_computes_too_long_gets_an_exception_and_fails(scene: Scene, handler: str) -> None:
    pool = scene.pool("--cpu-limit=0.5", "--timeout-grace=30", handler=handler, concurrency=1)

    message = scene.publish_one({"do": "hang"}, retries=0)

    error = error_of(scene, message)
    assert error["error_type"] == "CpuTimeExceeded"
    assert "CPU time limit of 0.5 s" in error["error"]
    assert [one["error"] for one in events_of(scene, CAUGHT, message)] == ["CpuTimeExceeded"]
    assert events_of(scene, CLEANED, message)
    assert "worker died" not in pool.log()
    scene.settle(dead_lettered=1)
    scene.retire(pool, tracebacks=1)


def test_a_handler_that_continues_to_compute_is_killed_and_fails(scene: Scene) -> None:
    pool = scene.pool("--cpu-limit=0.5", "--timeout-grace=0.5", handler=HANDLER, concurrency=2)

    message = scene.publish_one({"do": "hold_gil", "times": 9}, retries=1)
    others = scene.publish(*[{"do": "ok"}] * 20)

    error = error_of(scene, message)
    assert error["error_type"] == "CpuTimeExceeded"
    assert "more than 0.5 s of CPU time" in error["error"]
    assert (error["signal"], error["retry_count"]) == ("SIGKILL", 1)
    assert error["cpu_s"] >= 1.0
    scene.settle(dead_lettered=1, extra_runs=1)
    assert scene.ledger.handled() == set(others)
    assert pool.exit_code is None
    scene.retire(pool)


def test_waiting_costs_no_cpu_time(scene: Scene) -> None:
    pool = scene.pool("--cpu-limit=0.3", "--timeout-grace=0.1", handler=HANDLER, concurrency=1)

    scene.publish_one({"do": "sleep", "sleep_s": 2.0})

    scene.settle(extra_runs=0)
    assert "worker died" not in pool.log()
    scene.retire(pool)


def test_every_message_has_a_cpu_limit_of_its_own(scene: Scene) -> None:
    pool = scene.pool("--cpu-limit=0.5", "--timeout-grace=1", handler=HANDLER, concurrency=1)
    (worker,) = pool.worker_pids()
    scene.publish_one({"do": "hang", "then": "return"})
    messages = scene.publish(*[{"do": "cpu", "cpu_s": 0.35}] * 3)

    scene.settle(extra_runs=0)

    assert not [message for message in messages if events_of(scene, CAUGHT, message)]
    assert [event.pid == worker for event in scene.ledger.starts()] == [True, *[False] * 3]
    scene.retire(pool)


def test_processes_of_a_handler_inherit_no_limit(scene: Scene) -> None:
    pool = scene.pool("--cpu-limit=0.5", handler="tests.supervision.recording_handlers:limits", concurrency=1)

    scene.publish_one({})

    scene.settle()
    (limits,) = (event.fields for event in scene.ledger.events(FACTS))
    assert limits["cpu"] == list(resource.getrlimit(resource.RLIMIT_CPU))
    scene.retire(pool)
