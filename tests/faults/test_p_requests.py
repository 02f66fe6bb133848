"""Requests to pools through Redis, while processes of the pool fail."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from bizzmq import (
    AsyncBizzMQ,
    ConfigurationError,
    NotRunningError,
    PoolNotFoundError,
    PoolRefusesError,
    PoolSilentError,
)
from bizzmq.consumer import failpoints
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.pool.command import OPERATOR, run

LEASE = ("--lease=3",)
SLEEP = {"do": "sleep", "sleep_s": 600.0}


def pool_id(scene: Scene) -> str:
    """The id of the only pool, once it has reported."""
    (found,) = eventually(lambda: [one for one in scene.mq.pools() if one.asked_on], PATIENCE_S)
    return found.id


def target(scene: Scene, pool: Pool, workers: int) -> None:
    log_says(pool, f"number of workers changed workers={workers}")


def test_operators_ask_a_pool_through_redis(scene: Scene) -> None:
    pool = scene.pool(*LEASE, concurrency=1)
    pool_name = pool_id(scene)
    running = scene.publish_one(SLEEP)
    scene.ledger.wait_started(running)

    stack = scene.mq.stack(running, timeout_s=PATIENCE_S)
    worker = next(iter(scene.registered()))
    of_worker = run(OPERATOR, "stack", worker, "--queue", QUEUE, "--timeout=30", BIZZMQ_REDIS_URL=scene.url)
    asked = [scene.mq.ask_pool(pool_name, what, by="ada", timeout_s=PATIENCE_S) for what in ("more", "fewer", "quiet")]
    eventually(lambda: scene.mq.pools()[0].state == "paused", PATIENCE_S)
    resumed = run(OPERATOR, "pool", "resume", "--id", pool_name, "--timeout=30", BIZZMQ_REDIS_URL=scene.url)
    reloaded = asyncio.run(asking(scene.url, pool_name, "reload"))

    assert f"runs message {running} of queue q for " in stack.splitlines()[0]
    assert " in sleep" in stack
    assert "consumer/handlers/handler.py" not in stack, "the stack begins with the caller's code"
    assert of_worker.out.splitlines()[0].startswith(f"worker {worker} ")
    assert asked == ["2 workers", "1 worker", "the pool claims nothing, its workers finish what they run"]
    assert resumed.out == "the pool claims messages\n"
    assert reloaded == "a reload has begun"
    log_says(pool, "asked through Redis what=more by=ada")
    log_says(pool, "new code has booted")
    pool.kill_group()


async def asking(url: str, pool: str, what: str) -> str:
    async with AsyncBizzMQ(url) as mq:
        return await mq.ask_pool(pool, what, timeout_s=PATIENCE_S)


def test_a_request_that_makes_no_sense_is_one_clear_line(scene: Scene) -> None:
    waiting = scene.publish_one(SLEEP)

    with pytest.raises(NotRunningError, match=f"message {waiting} is waiting, no worker runs it"):
        scene.mq.stack(waiting)
    with pytest.raises(NotRunningError, match="no queue has message 0000"):
        scene.mq.stack("0" * 20)
    with pytest.raises(PoolNotFoundError, match="there is no pool h:b:1:n"):
        scene.mq.ask_pool("h:b:1:n", "reload")
    with pytest.raises(ConfigurationError, match="what must be one of reload, quiet, resume, more, fewer, not 'x'"):
        scene.mq.ask_pool("h:b:1:n", "x")
    for arguments in (["pool", "reload"], ["pool", "--id", "x"], ["pool", "jump", "--id", "x"]):
        done = run(OPERATOR, *arguments, BIZZMQ_REDIS_URL=scene.url)
        assert (done.code, len(done.err.splitlines())) == (2, 1)


def test_a_pool_that_is_older_is_named(scene: Scene) -> None:
    stop = scene.mq.consume_message_from_queue(QUEUE, lambda _body: None)
    (consumer,) = eventually(lambda: [one for one in scene.mq.pools() if one.kind], PATIENCE_S)
    scene.mq._execute(lambda broker: broker.register(QUEUE, "h:b:1:older"))

    with pytest.raises(PoolSilentError, match="is a consumer in a program: only pools take requests"):
        scene.mq.ask_pool(consumer.id, "reload")
    with pytest.raises(PoolSilentError, match=r"within 0\.3 s \(is it older, .*\): the request is withdrawn"):
        scene.mq.ask_pool("h:b:1:older", "reload", timeout_s=0.3)

    assert not scene.redis.exists("bizzmq:{q}:requests")
    stop()


def test_a_stopped_supervisor_does_a_request_within_its_minute_or_never(scene: Scene) -> None:
    pool = scene.pool("--lease=60", concurrency=1)
    pool_name = pool_id(scene)

    os.kill(pool.supervisor_pid, signal.SIGSTOP)
    with pytest.raises(PoolSilentError, match="it has taken the request, and may still do it within a minute"):
        scene.mq.ask_pool(pool_name, "more", timeout_s=3.0)
    assert "asked through Redis" not in pool.log()
    os.kill(pool.supervisor_pid, signal.SIGCONT)

    target(scene, pool, 2)
    scene.retire(pool)


def test_a_janitor_killed_after_it_has_taken_a_request_loses_it_and_nothing_is_done_twice(
    scene: Scene, tmp_path: Path
) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = scene.pool(*LEASE, concurrency=1, env={failpoints.VARIABLE: f"after-take:{fuse}"})
    pool_name = pool_id(scene)

    with pytest.raises(PoolSilentError, match="has taken the request"):
        scene.mq.ask_pool(pool_name, "more", timeout_s=4.0)
    assert not fuse.exists()
    eventually(lambda: pool.log().count("janitor started") == 2, PATIENCE_S)

    assert scene.mq.ask_pool(pool_name, "more", timeout_s=PATIENCE_S) == "2 workers"
    assert pool.log().count("number of workers changed") == 1
    scene.retire(pool)


def test_a_pool_that_is_gone_gives_no_answer_and_none_is_found_after_its_lease(scene: Scene) -> None:
    lost = scene.pool(*LEASE, concurrency=1)
    lost_id = pool_id(scene)
    lost.kill_group()

    with pytest.raises(PoolSilentError, match="the request is withdrawn"):
        scene.mq.ask_pool(lost_id, "reload", timeout_s=0.5)

    other = scene.pool(*LEASE, ready=False, concurrency=1)
    eventually(lambda: [one.id for one in scene.mq.pools()] not in ([], [lost_id]), PATIENCE_S)
    eventually(lambda: lost_id not in {one.id for one in scene.mq.pools()}, PATIENCE_S)
    with pytest.raises(PoolNotFoundError):
        scene.mq.ask_pool(lost_id, "reload")
    scene.retire(other)


def test_a_worker_that_is_gone_is_named_by_its_pool_and_a_draining_pool_does_nothing_more(scene: Scene) -> None:
    pool = scene.pool(*LEASE, "--drain-timeout=60", concurrency=1)
    pool_name = pool_id(scene)
    with pytest.raises(PoolRefusesError, match=f"the pool has no worker {pool_name}/0.gone any more"):
        scene.mq.stack(f"{pool_name}/0.gone", timeout_s=PATIENCE_S)
    running = scene.publish_one(SLEEP)
    scene.ledger.wait_started(running)

    pool.signal(signal.SIGTERM)
    log_says(pool, "draining")

    with pytest.raises(PoolRefusesError, match="the pool is draining"):
        scene.mq.ask_pool(pool_name, "more", timeout_s=PATIENCE_S)
    assert running in scene.mq.stack(running, timeout_s=PATIENCE_S)
    pool.kill_group()


def test_many_who_ask_at_once_get_their_own_answers(scene: Scene) -> None:
    pool = scene.pool(*LEASE, concurrency=1)
    pool_id(scene)
    running = scene.publish_one(SLEEP)
    scene.ledger.wait_started(running)
    answers: list[str] = []

    threads = [
        threading.Thread(target=lambda: answers.append(scene.mq.stack(running, timeout_s=PATIENCE_S))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 5
    assert all(" in sleep" in answer for answer in answers)
    pool.kill_group()
