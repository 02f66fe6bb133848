"""Schedules: each time is published exactly once, whatever fails at that moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq.consumer import failpoints
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.link import Fault
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.support.wall_clock import WallClock, compiler

BODY = {"do": "sleep", "sleep_s": 0.0}
HOUR_S = 3600
LEASE = "--lease=2"
"""So that a pool soon notices that its queue has schedules: with its heartbeat."""
K = Keys(QUEUE)
OwnScene = Callable[..., "tuple[RedisServer, Scene]"]


def add_due(scene: Scene, name: str = "s", ago_s: float = 1.0) -> None:
    """Add a schedule that is due since that time, and then in an hour."""
    scene.mq.schedule(name, QUEUE, BODY, every_s=HOUR_S)
    command(scene.redis, "ZADD", K.due, int((time.time() - ago_s) * 1000), name)


def fired_once(scene: Scene, name: str = "s") -> str:
    """Wait until a schedule has fired and its message was handled; it has fired once, for one message."""
    eventually(lambda: scene.mq.show_schedule(name).fired, PATIENCE_S, f"{name} to fire")
    info = scene.mq.show_schedule(name)
    scene.ledger.record_published(info.last_message_id)
    scene.ledger.wait_handled(info.last_message_id, timeout_s=PATIENCE_S)
    assert info.fired == 1
    return info.last_message_id


def test_two_pools_fire_each_time_once(scene: Scene) -> None:
    pools = [scene.pool(LEASE, ready=False) for _ in range(2)]
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)
    for number in range(20):
        add_due(scene, f"s{number}")

    ids = {fired_once(scene, f"s{number}") for number in range(20)}

    assert len(ids) == 20
    scene.settle(extra_runs=0)
    assert scene.mq.stats(QUEUE).published == 20
    scene.retire(*pools)


@pytest.mark.parametrize("step", failpoints.SCHEDULER_NAMES)
def test_a_janitor_killed_around_a_fire_neither_loses_nor_repeats_it(scene: Scene, tmp_path: Path, step: str) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = scene.pool(LEASE, env={failpoints.VARIABLE: f"{step}:{fuse}"})

    add_due(scene)
    eventually(lambda: not fuse.exists(), PATIENCE_S, "the janitor to be killed")

    fired_once(scene)
    eventually(lambda: pool.log().count("janitor started") == 2, PATIENCE_S)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_a_lost_host_leaves_its_schedules_to_the_others(scene: Scene) -> None:
    lost, other = [scene.pool(LEASE, ready=False) for _ in range(2)]
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    lost.kill_group()
    add_due(scene)

    fired_once(scene)
    scene.settle(extra_runs=0)
    scene.retire(other)


def test_a_worker_that_dies_with_the_message_of_a_schedule_costs_one_delivery(scene: Scene) -> None:
    pool = scene.pool(LEASE)
    scene.mq.schedule("s", QUEUE, {"do": "sleep", "sleep_s": 600.0}, every_s=HOUR_S, overlap="skip")
    command(scene.redis, "ZADD", K.due, 1000, "s")
    eventually(lambda: scene.mq.show_schedule("s").fired, PATIENCE_S)
    message = scene.mq.show_schedule("s").last_message_id

    os.kill(scene.ledger.wait_started(message).pid, signal.SIGKILL)

    eventually(lambda: len(scene.ledger.runs_of(message)) == 2, PATIENCE_S)
    assert scene.mq.show_schedule("s").fired == 1
    pool.kill_group()


def test_a_lost_reply_to_a_fire_neither_loses_nor_repeats_it(
    scene: Scene, proxy: Proxy, lose: Callable[..., Fault]
) -> None:
    pool = scene.pool(LEASE, url=proxy.url)
    lost = lose("fire")

    add_due(scene)

    lost.wait()
    fired_once(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_redis_away_at_the_due_time_delays_the_fire_and_loses_nothing(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof")
    pool = scene.pool(LEASE)
    due_s = time.time() + 1.0
    add_due(scene, ago_s=-1.0)

    server.kill()
    eventually(lambda: time.time() > due_s, PATIENCE_S)
    server.restart()

    fired_once(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)


@pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")
def test_the_clock_of_a_pools_host_is_not_asked(scene: Scene, tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    clock.set(HOUR_S)
    pool = scene.pool(LEASE, env=clock.env)
    add_due(scene, "later", ago_s=-HOUR_S / 2)

    add_due(scene, "now")

    fired_once(scene, "now")
    later = scene.mq.show_schedule("later")
    assert later.fired == 0
    assert later.next_at_s is not None
    now = scene.mq.show_schedule("now")
    assert now.last_at_s is not None
    assert now.next_at_s is not None
    assert abs(now.last_at_s - time.time()) < 60
    assert 0 < now.next_at_s - time.time() < HOUR_S
    scene.settle(extra_runs=0)
    scene.retire(pool)


@pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")
def test_the_clock_of_redis_decides(own_scene: OwnScene, tmp_path: Path) -> None:
    clock = WallClock(tmp_path)
    _, scene = own_scene(env=clock.env)
    clock.set(10)
    now: Any = command(scene.redis, "TIME")
    if abs(int(now[0]) - time.time()) < 5:
        pytest.skip("this server's clock cannot be set")
    pool = scene.pool(LEASE)
    scene.mq.schedule("s", QUEUE, BODY, every_s=HOUR_S)

    clock.set(HOUR_S + 60)

    fired_once(scene)
    scene.settle(extra_runs=0)
    scene.retire(pool)
