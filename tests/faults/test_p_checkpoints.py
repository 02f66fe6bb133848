"""P1, P2, P5, P6, R1 and R3 with checkpoints: no finished step is done again, and no number is counted twice."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.faults.summing_handler import HANDLER

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
KEPT = {"result_ttl_s": 600}
FAST = ("--max-crashes", "1000")


def body(tmp_path: Path, **facts: Any) -> dict[str, Any]:
    return {"count": 100_000, "every": 1000, "kills": 0, "seed": 1, "log": str(tmp_path / "steps"), **facts}


def steps(tmp_path: Path) -> list[int]:
    return [int(line) for line in (tmp_path / "steps").read_text().splitlines()]


def check(scene: Scene, tmp_path: Path, message_id: str, count: int, every: int, kills: int) -> None:
    assert scene.mq.result(QUEUE, message_id, timeout_s=600) == sum(range(count))
    assert set(steps(tmp_path)) == set(range(0, count, every))
    assert len(steps(tmp_path)) <= count // every + kills


@pytest.mark.parametrize(
    ("count", "every", "kills"), [(100_000, 1000, 8), pytest.param(10_000_000, 10_000, 200, marks=pytest.mark.nightly)]
)
@pytest.mark.timeout(900)
def test_kills_at_random_cost_at_most_one_step_each(
    scene: Scene, tmp_path: Path, rng: random.Random, count: int, every: int, kills: int
) -> None:
    pool = scene.pool(*FAST, handler=HANDLER, concurrency=2)
    facts = body(tmp_path, count=count, every=every, kills=kills, seed=rng.random())

    (message_id,) = scene.publish(facts, **KEPT)

    check(scene, tmp_path, message_id, count, every, kills)
    assert not scene.redis.exists(*QueueKeys(QUEUE).beside)
    scene.retire(pool)


@pytest.mark.parametrize("what", ["supervisor", "janitor"])
def test_a_killed_supervisor_or_janitor_loses_no_checkpoint(scene: Scene, tmp_path: Path, what: str) -> None:
    """The worker goes on: an orphan ends with its supervisor's lease, and the next delivery goes on from there."""
    pool = scene.pool("--lease=1", "--drain-timeout=1", *FAST, handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish(body(tmp_path, count=2_000_000, every=20_000), **KEPT)
    eventually(lambda: len(steps_or_none(tmp_path)) > 10, PATIENCE_S, pool.log)

    os.kill(pool.supervisor_pid if what == "supervisor" else pool.janitor_pid(), signal.SIGKILL)
    second = scene.pool(*FAST, handler=HANDLER, concurrency=1) if what == "supervisor" else pool

    check(scene, tmp_path, message_id, 2_000_000, 20_000, 1)
    scene.retire(second)


def steps_or_none(tmp_path: Path) -> list[int]:
    return steps(tmp_path) if (tmp_path / "steps").exists() else []


def test_a_lost_host_costs_the_steps_of_a_second(scene: Scene, tmp_path: Path) -> None:
    pool = scene.pool("--lease=1", handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish(body(tmp_path, count=2_000_000, every=10_000), **KEPT)
    eventually(lambda: scene.redis.exists(QueueKeys(QUEUE).checkpoints), PATIENCE_S, pool.log)

    pool.kill_group()
    before = len(steps(tmp_path))
    second = scene.pool("--lease=1", handler=HANDLER, concurrency=1)

    assert scene.mq.result(QUEUE, message_id, timeout_s=600) == sum(range(2_000_000))
    assert set(steps(tmp_path)) == set(range(0, 2_000_000, 10_000))
    assert steps(tmp_path)[before] > 0, "it began anew"
    scene.retire(second)


@pytest.mark.parametrize("large", [0, 50_000], ids=["small", "large"])
def test_a_drain_goes_on_in_the_next_pool(scene: Scene, tmp_path: Path, large: int) -> None:
    facts = body(tmp_path, count=3_000_000, every=20_000, large=large)
    pool = scene.pool("--drain-timeout=20", handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish(facts, **KEPT)
    eventually(lambda: len(steps_or_none(tmp_path)) > 10, PATIENCE_S, pool.log)

    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    assert scene.totals().get("retried", 0) == 0
    assert len(steps(tmp_path)) < 150
    second = scene.pool(handler=HANDLER, concurrency=1)
    check(scene, tmp_path, message_id, 3_000_000, 20_000, 1)
    scene.retire(second)


def test_an_outage_costs_no_step_of_a_message_that_runs(own_scene: OwnScene, tmp_path: Path) -> None:
    server, scene = own_scene()
    pool = scene.pool("--lease=2", *FAST, handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish(body(tmp_path, count=3_000_000, every=20_000), **KEPT)
    eventually(lambda: len(steps_or_none(tmp_path)) > 10, PATIENCE_S, pool.log)

    server.pause()
    before = len(steps(tmp_path))
    eventually(lambda: len(steps(tmp_path)) > before + 5, PATIENCE_S, pool.log)
    server.resume()

    check(scene, tmp_path, message_id, 3_000_000, 20_000, 1)
    scene.retire(pool)
