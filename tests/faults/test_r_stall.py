"""R6, R7 and R22: Redis does not answer because it is stopped, paused, or busy with a script."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.features import need_pause_modes

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
WORK = {"do": "sleep", "sleep_s": 0.002}
TWO_SOCKET_TIMEOUTS_S = 10.5
SILENCE_S = 2.5


def test_a_redis_stopped_for_two_socket_timeouts_ends_no_lease(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    pools = _two_pools(scene, lease_s=8.0)

    with _no_worker_is_reaped(scene, pools):
        scene.publish(*[WORK] * 400)
        scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > 50, PATIENCE_S)
        with invariants.log_rate(pools[0].log), invariants.log_rate(pools[1].log):
            server.pause()
            time.sleep(TWO_SOCKET_TIMEOUTS_S)  # how long the fault lasts
        resumed_s = time.monotonic()
        server.resume()  # requests sent meanwhile are executed now, also those that their senders have given up
        scene.publish(WORK)  # on a busy machine all other messages may be handled before the fault
        scene.runs_again(resumed_s)
        _both_beat_on(scene)

    scene.retire(*pools)


@pytest.mark.usually(1)
@pytest.mark.parametrize("how", ["SIGSTOP", "CLIENT PAUSE"])
def test_a_redis_silent_for_longer_than_a_lease_ends_no_lease(own_scene: OwnScene, how: str) -> None:
    server, scene = own_scene()
    if how == "CLIENT PAUSE":
        need_pause_modes(scene.redis)
    pools = _two_pools(scene, lease_s=1.0)

    with _no_worker_is_reaped(scene, pools), load(scene, *[WORK] * 4):
        scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > 50, PATIENCE_S)
        if how == "SIGSTOP":
            server.pause()
            time.sleep(SILENCE_S)  # how long the fault lasts
            server.resume()
        else:
            command(scene.redis, "CLIENT", "PAUSE", round(SILENCE_S * 1000), "ALL")
            scene.redis.ping()  # is answered when the pause is over
        scene.runs_again(time.monotonic())
        _both_beat_on(scene)

    scene.retire(*pools)


def test_a_script_that_keeps_redis_busy_is_an_outage(own_scene: OwnScene) -> None:
    server, scene = own_scene(config=["lua-time-limit 100"])
    pool = scene.pool("--lease=1", handler=HANDLER)
    gates = [scene.gate() for _ in range(2)]
    for message in scene.publish(*[gate.body() for gate in gates]):
        scene.ledger.wait_started(message)

    with server.client(socket_timeout=60.0) as greedy, _busy(greedy, server.client()):
        for gate in gates:
            gate.open()
        log_says(pool, "BUSY", times=3)  # to the janitor's heartbeat and to both acks
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    fresh = scene.gate()
    fresh.open()
    scene.publish(*[fresh.body()] * 20)
    scene.settle(extra_runs=0)
    assert scene.totals() == {"published": 22, "acked": 22}
    assert len(pool.started_worker_pids()) == 2
    scene.retire(pool)


def _two_pools(scene: Scene, lease_s: float) -> list[Pool]:
    pools = [scene.pool(f"--lease={lease_s}", ready=False) for _ in range(2)]
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S, "two pools")
    return pools


@contextlib.contextmanager
def _no_worker_is_reaped(scene: Scene, pools: list[Pool]) -> Iterator[None]:
    """Check that during the block every worker stays registered and no message runs twice."""
    registered = scene.registered()
    yield
    scene.settle(extra_runs=0)
    assert scene.registered() == registered
    assert scene.totals() == {name: len(scene.ledger.published()) for name in ("published", "acked")}
    for pool in pools:
        assert "reaped" not in pool.log()
        assert "lease lost" not in pool.log()
        assert pool.log().count("janitor started") == 1, "it was Redis that did not answer"
        assert len(pool.started_worker_pids()) == 2, "a worker has exited"


def _both_beat_on(scene: Scene) -> None:
    """Wait until both supervisors have sent heartbeats and scanned once: a scan is rarer than a heartbeat."""
    before = _beats(scene)
    eventually(lambda: all(_beats(scene)[name] > beat + 4 for name, beat in before.items()), PATIENCE_S)


def _beats(scene: Scene) -> dict[str, int]:
    counters: dict[str, str] = command(scene.redis, "HGETALL", Keys(QUEUE).supervisors)
    return {name: int(counter) for name, counter in counters.items()}


@contextlib.contextmanager
def _busy(greedy: Redis, killer: Redis) -> Iterator[None]:
    """Keep Redis busy with a script during the block; after 0.1 s it replies BUSY to other clients."""

    def loop() -> None:
        with contextlib.suppress(ResponseError):  # the script was killed
            command(greedy, "EVAL", "while true do end", 0)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    eventually(lambda: _is_busy(killer), PATIENCE_S)
    yield
    command(killer, "SCRIPT", "KILL")
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def _is_busy(redis: Redis) -> bool:
    try:
        redis.ping()
    except ResponseError as error:
        return "BUSY" in str(error)
    return False
