"""P1, P2, R1, R3, R8 and R16 with results: never an ack without its result, never a result of what is retried."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Callable, Iterable

import pytest
from redis import Redis

from bizzmq import HandlerFailedError, MessageOptions, ResultExpired
from bizzmq.consumer import failpoints
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.conftest import Lose
from tests.faults.result_handler import HANDLER, value_of
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
KEPT = {"result_ttl_s": 600}
LARGE = 100_000
"""Characters that do not fit into a slot's shared memory."""


def check_results(scene: Scene, ids: Iterable[str], size: int = 0) -> None:
    for one in ids:
        assert scene.mq.result(QUEUE, one, timeout_s=PATIENCE_S) == value_of(one, size)


def ended_without_a_result(redis: Redis, ids: Iterable[str]) -> list[str]:
    """The messages that are stored nowhere and have no result."""
    keys, dead = Keys(QUEUE), Keys(f"{QUEUE}_dlq")
    found = [one for one in ids if not redis.exists(keys.result(one))]
    return [
        one
        for one in found
        if not redis.hexists(keys.messages, one)
        and not redis.hexists(dead.messages, one)
        and not redis.exists(keys.result(one))
    ]


@pytest.mark.usually(7, every=3)
@pytest.mark.parametrize("size", [0, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("messages", [1, 60])
@pytest.mark.parametrize("step", failpoints.NAMES)
def test_a_kill_at_this_step_loses_no_result_and_blames_no_message(
    scene: Scene, tmp_path: Path, step: str, messages: int, size: int
) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = scene.pool(handler=HANDLER, env={failpoints.VARIABLE: f"{step}:{fuse}"})

    ids = scene.publish(*[{"size": size}] * messages, **KEPT)

    check_results(scene, ids, size)
    # A large result is not finished before it is stored: a kill before its ack runs the message again.
    scene.settle(extra_runs=1 if size else 0)
    eventually(lambda: not fuse.exists(), PATIENCE_S, "the step to be reached")
    assert scene.totals()["acked"] == messages
    for event in scene.ledger.starts():
        assert event.fields["delivery"] in ((1, 2) if size else (1,)), "an innocent message was blamed"
    scene.retire(pool)


def test_kills_under_load_leave_no_end_without_a_result(scene: Scene, rng: random.Random) -> None:
    pool = scene.pool(handler=HANDLER)
    ids = scene.publish(*[{"do": "sleep", "sleep_s": 0.003, "size": number % 3000} for number in range(300)], **KEPT)

    for kills in range(1, 6):
        handled = len(scene.ledger.ends())
        os.kill(rng.choice(eventually(pool.worker_pids)), signal.SIGKILL)
        eventually(lambda: len(pool.started_worker_pids()) >= 2 + kills, PATIENCE_S, pool.log)  # noqa: B023
        eventually(lambda: len(scene.ledger.ends()) > handled + 5 or not scene.held(), PATIENCE_S)  # noqa: B023
        assert ended_without_a_result(scene.redis, ids) == []

    scene.settle(extra_runs=5)
    assert ended_without_a_result(scene.redis, ids) == []
    for number, one in enumerate(ids):
        assert scene.mq.result(QUEUE, one) == value_of(one, number % 3000)
    scene.retire(pool)


def test_a_killed_supervisor_loses_no_result(scene: Scene) -> None:
    pool = scene.pool("--lease=1", handler=HANDLER)
    other = scene.pool("--lease=1", handler=HANDLER, ready=False)
    other.wait_ready(registered=4)
    ids = scene.publish(*[{"do": "sleep", "sleep_s": 0.01}] * 100, **KEPT)
    eventually(lambda: len(scene.ledger.ends()) > 10, PATIENCE_S)

    os.kill(pool.supervisor_pid, signal.SIGKILL)

    scene.settle(extra_runs=4)
    check_results(scene, ids)
    scene.retire(other)


def test_a_message_that_kills_its_workers_has_failed_and_one_that_is_retried_has_no_result(scene: Scene) -> None:
    pool = scene.pool("--max-crashes=2", handler=HANDLER)
    keys = Keys(QUEUE)
    gate = scene.gate()
    gated = gate.body(do="raise", times=9)
    message = scene.publish_one({**gated, "do": "raise", "times": 9}, retries=1, **KEPT)
    gate.open(1)
    scene.ledger.wait_started(message, runs=2)

    assert not scene.redis.exists(keys.result(message)), "it is retried"
    gate.open()
    with pytest.raises(HandlerFailedError) as failed:
        scene.mq.result(QUEUE, message, timeout_s=PATIENCE_S)
    assert (failed.value.state, failed.value.retries) == ("dead_lettered", 1)

    poison = scene.publish_one({"do": "os_exit"}, **KEPT)
    with pytest.raises(HandlerFailedError) as crashed:
        scene.mq.result(QUEUE, poison, timeout_s=PATIENCE_S)
    assert crashed.value.error_type == "WorkerCrashed"

    assert scene.mq.replay(QUEUE, message) == 1
    assert not scene.redis.exists(keys.result(message)), "it lives again"
    with pytest.raises(HandlerFailedError):
        scene.mq.result(QUEUE, message, timeout_s=PATIENCE_S)
    scene.settle(dead_lettered=2, extra_runs=9)
    scene.retire(pool, tracebacks=9)


@pytest.mark.parametrize("script", ["finish", "dead_letter"])
def test_a_lost_reply_stores_one_result(scene: Scene, proxy: Proxy, lose: Lose, script: str) -> None:
    pool = scene.pool(url=proxy.url, handler=HANDLER, concurrency=1)
    lost = lose(script)

    action = "ok" if script == "finish" else "reject"
    ids = scene.publish(*[{"do": action}] * 3, **KEPT)

    lost.wait(PATIENCE_S)
    for one in ids:
        if script == "finish":
            assert scene.mq.result(QUEUE, one, timeout_s=PATIENCE_S) == value_of(one)
        else:
            with pytest.raises(HandlerFailedError, match="Reject"):
                scene.mq.result(QUEUE, one, timeout_s=PATIENCE_S)
    dead_lettered = 3 if script == "dead_letter" else 0
    scene.settle(dead_lettered=dead_lettered)
    scene.retire(pool, tracebacks=dead_lettered)


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize("size", [0, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("with_journal", [True, False], ids=["journal", "no journal"])
def test_a_worker_that_is_killed_while_redis_is_away_leaves_its_results(
    own_scene: OwnScene, tmp_path: Path, with_journal: bool, size: int
) -> None:
    server, scene = own_scene(persistence="aof")
    directory = tmp_path / "journal"
    args = [f"--journal={directory}"] if with_journal else []
    pool = scene.pool(*args, handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one({**gate.body(), "size": size}, **KEPT)
    scene.ledger.wait_started(message)
    (pid,) = pool.worker_pids()
    server.kill()
    gate.open()
    if with_journal:
        eventually(lambda: list(directory.glob("*.journal")), PATIENCE_S, "a journal")
    else:
        log_says(pool, "Redis is unavailable", times=2)  # the janitor and the worker
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 2, PATIENCE_S, pool.log)
    server.start()

    check_results(scene, [message], size)
    # A large result is in the journal, or nowhere: then the message runs again, without blame.
    scene.settle(extra_runs=0 if with_journal or not size else 1)
    assert {event.fields["retry_count"] for event in scene.ledger.starts()} == {0}
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("action", ["ok", "reject"])
def test_results_survive_in_the_journal_when_the_whole_pool_dies_while_redis_is_away(
    own_scene: OwnScene, tmp_path: Path, action: str
) -> None:
    server, scene = own_scene(persistence="aof")
    directory = tmp_path / "journal"
    journal = f"--journal={directory}"
    pool = scene.pool(journal, handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one({**gate.body(), "do": action}, **KEPT)
    scene.ledger.wait_started(message)
    server.kill()
    gate.open()
    eventually(lambda: list(directory.glob("*.journal")), PATIENCE_S, "a journal")
    pool.kill_group()
    server.start()

    second = scene.pool(journal, handler=HANDLER)

    if action == "ok":
        check_results(scene, [message])
    else:
        with pytest.raises(HandlerFailedError, match="Reject"):
            scene.mq.result(QUEUE, message, timeout_s=PATIENCE_S)
    scene.settle(dead_lettered=1 if action == "reject" else 0)
    eventually(lambda: not list(directory.iterdir()), PATIENCE_S, "the journal to be removed")
    scene.retire(second)


def test_a_waiter_survives_a_restart_of_redis(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof")
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body(), **KEPT)
    scene.ledger.wait_started(message)
    server.kill()
    gate.open()
    server.start()

    check_results(scene, [message])
    scene.settle()
    scene.retire(pool)


def test_a_waiter_learns_that_redis_has_lost_the_message(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    message = scene.mq.publish_message_to_queue(QUEUE, {}, MessageOptions(result_ttl_s=600))
    with pytest.raises(TimeoutError):
        scene.mq.result(QUEUE, message, timeout_s=0)
    server.kill()
    server.start()

    with pytest.raises(ResultExpired):
        scene.mq.result(QUEUE, message, timeout_s=PATIENCE_S)


def test_results_are_stored_when_redis_is_full(own_scene: OwnScene) -> None:
    _, scene = own_scene()
    pool = scene.pool(handler=HANDLER)
    gate = scene.gate()
    ids = scene.publish(*[{**gate.body(), "size": 1000}] * 20, **KEPT)
    eventually(lambda: len(scene.ledger.starts()) >= 2, PATIENCE_S)
    scene.redis.config_set("maxmemory", 1)

    gate.open()

    check_results(scene, ids, 1000)
    scene.redis.config_set("maxmemory", 0)
    scene.settle()
    invariants.check_at_rest(scene.redis, QUEUE)
    scene.retire(pool)
