"""T1 and T2: the wall clock jumps by an hour, forwards and backwards, on a pool's host and on Redis's."""

from __future__ import annotations

import calendar
import contextlib
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.support.wall_clock import WallClock, compiler

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
HOUR_S = 3600
JUMPS_S = [HOUR_S, 0, -HOUR_S]
"""One jump forwards, two backwards."""
LEASE_S = 1.0
WORK = {"do": "sleep", "sleep_s": 0.002}

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def test_a_jump_on_a_pools_host_ends_no_lease_and_delays_nothing(scene: Scene, wall_clock: WallClock) -> None:
    shifted = scene.pool(f"--lease={LEASE_S}", env=wall_clock.env)
    other = scene.pool(f"--lease={LEASE_S}", ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    with _no_worker_is_reaped(scene, shifted, other):
        for offset_s in JUMPS_S:
            wall_clock.set(offset_s)
            _goes_on(scene)

    scene.retire(shifted, other)
    reported = [line[:20] for line in shifted.log().splitlines() if "draining" in line]
    assert time.time() - HOUR_S - 60 < _seconds(reported[0]) < time.time() - HOUR_S + 60, "its clock did not jump"


def test_a_jump_on_redis_host_ends_no_lease_and_delays_no_worker(own_scene: OwnScene, wall_clock: WallClock) -> None:
    server, scene = own_scene(env=wall_clock.env)
    _need_a_clock_that_can_be_set(scene, wall_clock)
    pools = [scene.pool(f"--lease={LEASE_S}", ready=False) for _ in range(2)]
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)

    with _no_worker_is_reaped(scene, *pools):
        for offset_s in JUMPS_S:
            _all_are_idle(scene)  # and their blocking commands have a deadline by the clock before the jump
            _set(scene, wall_clock, offset_s)
            _goes_on(scene)

    scene.retire(*pools)
    assert server.alive


def test_a_delay_follows_the_clock_of_redis_so_a_jump_ends_it(own_scene: OwnScene, wall_clock: WallClock) -> None:
    _, scene = own_scene(env=wall_clock.env)
    _need_a_clock_that_can_be_set(scene, wall_clock)
    pool = scene.pool()
    delayed = scene.publish_one(WORK, delay_s=float(HOUR_S) / 2)
    later = scene.publish_one(WORK, delay_s=float(HOUR_S) * 2)

    wall_clock.set(HOUR_S)

    scene.ledger.wait_handled(delayed, timeout_s=PATIENCE_S)
    assert scene.redis.zrange(Keys(QUEUE).delayed, 0, -1) == [later]
    wall_clock.set(3 * HOUR_S)
    scene.settle(extra_runs=0)
    scene.retire(pool)


@contextlib.contextmanager
def _no_worker_is_reaped(scene: Scene, *pools: Pool) -> Iterator[None]:
    """Check that during the block every worker stays registered and no message runs twice."""
    registered = scene.registered()
    yield
    scene.settle(extra_runs=0)
    assert scene.registered() == registered
    assert scene.totals() == {name: len(scene.ledger.published()) for name in ("published", "acked")}
    for pool in pools:
        assert "reaped" not in pool.log()
        assert "lease lost" not in pool.log()
        assert pool.log().count("janitor started") == 1
        assert len(pool.started_worker_pids()) == 2, "a worker has exited"


def _goes_on(scene: Scene) -> None:
    """Check for longer than a lease that messages are handled, also those with a short delay."""
    beats, until_s = _beats(scene), time.monotonic() + 2 * LEASE_S
    with load(scene, *[WORK] * 4):
        delayed = scene.publish(WORK, WORK, delay_s=0.3)
        scene.ledger.wait_handled(*delayed, timeout_s=PATIENCE_S)
        while time.monotonic() < until_s:
            handled = len(scene.ledger.ends())
            scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > handled + 20, PATIENCE_S, "progress")  # noqa: B023
    eventually(lambda: all(_beats(scene)[name] > beat + 4 for name, beat in beats.items()), PATIENCE_S)
    invariants.check_nothing_stranded(scene.redis, QUEUE)
    scene.settle(extra_runs=0)


def _beats(scene: Scene) -> dict[str, int]:
    counters: dict[str, str] = command(scene.redis, "HGETALL", Keys(QUEUE).supervisors)
    return {name: int(counter) for name, counter in counters.items()}


def _all_are_idle(scene: Scene) -> None:
    """Wait until all workers of both pools block."""
    eventually(
        lambda: sum(client["cmd"] == "bzpopmin" for client in scene.redis.client_list()) == 4,
        PATIENCE_S,
        "idle workers",
    )


def _seconds(stamp: str) -> float:
    """The time in the first 19 characters of a log line, in seconds."""
    return float(calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")))


def _need_a_clock_that_can_be_set(scene: Scene, wall_clock: WallClock) -> None:
    try:
        _set(scene, wall_clock, HOUR_S)
    except AssertionError:
        pytest.skip("this server does not read the time with the C library")
    _set(scene, wall_clock, 0)


def _set(scene: Scene, wall_clock: WallClock, offset_s: int) -> None:
    """Set the clock and wait until Redis uses it: after a pause, Valkey reads its clock after the first command."""
    wall_clock.set(offset_s)
    eventually(lambda: abs(_server_time(scene) - time.time() - offset_s) < 60, what="the server's clock to jump")


def _server_time(scene: Scene) -> float:
    seconds, _ = command(scene.redis, "TIME")
    return float(seconds)
