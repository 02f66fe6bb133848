"""What a real pool reports of itself, and what is read from it."""

from __future__ import annotations

import json
import platform
import signal
from typing import Any

import bizzmq
from bizzmq import BizzMQ, Explanation, PoolInfo
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.pool.command import OPERATOR, run

FAST = ("--lease=2",)


def only(mq: BizzMQ) -> PoolInfo:
    pools = mq.pools(QUEUE)
    return pools[0] if len(pools) == 1 else PoolInfo("", "", 0)


def explained(scene: Scene, message_id: str, situation: str) -> Explanation:
    eventually(lambda: scene.mq.explain(message_id).situation == situation, PATIENCE_S)
    return scene.mq.explain(message_id)


def test_a_pool_reports_what_it_runs_and_what_it_is(scene: Scene) -> None:
    gate = scene.gate()
    pool = scene.pool(*FAST, "--concurrency", "2", "--code-version", "abc123", "--log-level", "debug", handler=HANDLER)
    running = scene.publish_one(gate.body())
    eventually(lambda: only(scene.mq).busy == 1, PATIENCE_S)

    found = only(scene.mq)
    assert (found.kind, found.state, found.queues, found.workers) == ("pool", "working", (QUEUE,), 2)
    assert (found.version, found.python, found.code) == (bizzmq.__version__, platform.python_version(), "abc123")
    assert found.target.startswith("tests.")
    assert [one.message_id for one in found.running] == [running]
    assert explained(scene, running, "running").facts["running_for_s"] > 0
    document: Any = json.loads(run(OPERATOR, "pools", "--json", BIZZMQ_REDIS_URL=scene.url).out)
    assert [one["id"] for one in document] == [found.id]
    assert "abc123" in run(OPERATOR, "pools", BIZZMQ_REDIS_URL=scene.url).out

    pool.signal(signal.SIGTSTP)
    waiting = scene.publish_one(1)
    explained(scene, waiting, "pools_paused")
    pool.signal(signal.SIGCONT)
    pool.signal(signal.SIGTERM)
    explained(scene, running, "held_by_draining_pool")
    gate.open()
    assert pool.wait(PATIENCE_S) == 0
    log_says(pool, "message has run")
    assert scene.mq.pools() == []


def test_a_pool_that_was_killed_is_silent_until_another_one_requeues(scene: Scene) -> None:
    gate = scene.gate()
    pool = scene.pool(*FAST, concurrency=1, handler=HANDLER)
    message_id = scene.publish_one(gate.body())
    explained(scene, message_id, "running")

    pool.kill_group()

    found = explained(scene, message_id, "held_by_silent_host")
    assert only(scene.mq).state == "silent"
    assert found.facts["lease_left_s"] <= 2
