"""R5, R9 and R21: connections are killed or half open, and Redis forgets its scripts."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually
from tests.faults.load import load, repeated
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

WORK = {"do": "sleep", "sleep_s": 0.002}
BLOCK_S, SOCKET_TIMEOUT_S = 5.0, 5.0


def test_connections_killed_ten_times_a_second_lose_nothing(scene: Scene) -> None:
    pool = scene.pool()
    kills: list[int] = []
    killed_s: list[float] = []

    def kill_all() -> None:  # and check over the one connection that is spared
        killed_s.append(time.monotonic())
        kills.append(command(scene.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        invariants.check_one_place(scene.redis, QUEUE)

    with load(scene, *[WORK] * 4), invariants.log_rate(pool.log), repeated(kill_all, pause_s=0.1):
        _progresses(scene, lambda: sum(kills) >= 60 and len(kills) >= 20)

    scene.settle(extra_runs=0)
    for each_s in killed_s[:-1]:  # a run after the last kill may or may not be due to it
        scene.runs_again(each_s)
    assert scene.totals()["acked"] == len(scene.ledger.published())
    assert len(pool.started_worker_pids()) == 2, "a worker has exited"
    scene.retire(pool)


def test_scripts_flushed_a_hundred_times_a_second_are_loaded_again(scene: Scene) -> None:
    pool = scene.pool()
    flushes = []

    def flush() -> None:
        flushes.append(command(scene.redis, "SCRIPT", "FLUSH"))

    with load(scene, *[WORK] * 4, {"do": "raise", "times": 1}), repeated(flush, pause_s=0.01):
        _progresses(scene, lambda: len(flushes) >= 100)
        invariants.check_one_place(scene.redis, QUEUE)

    published = len(scene.ledger.published())
    scene.settle(extra_runs=published // 5)
    assert scene.totals() == {"published": published, "acked": published, "retried": published // 5}
    assert "unavailable" not in pool.log()
    assert len(pool.started_worker_pids()) == 2
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_message_is_handled_although_its_worker_waits_on_a_half_open_connection(
    scene: Scene, proxy: Proxy, side: str
) -> None:
    pool = scene.pool(url=proxy.url, concurrency=1)
    scene.ledger.wait_handled(scene.publish_one({"do": "ok"}))
    scene.settle()
    _wait_until_idle(scene)

    if side == "client":
        proxy.cut_client_side()  # Redis wakes a worker that is not connected any more
    else:
        proxy.cut_server_side()  # the worker waits on a dead connection
    message = scene.publish_one({"do": "ok"})

    (published,) = [event for event in scene.ledger.events("published") if event.id == message]
    run = scene.ledger.wait_started(message, timeout_s=PATIENCE_S)
    scene.figures.recovered(run.start.time_s - published.time_s)
    assert run.start.time_s - published.time_s < 2 * (BLOCK_S + SOCKET_TIMEOUT_S)
    scene.settle(extra_runs=0)
    assert len(pool.started_worker_pids()) == 1
    scene.retire(pool)


def _progresses(scene: Scene, until: Callable[[], bool]) -> None:
    """Check that messages are handled repeatedly until then."""
    while not until():
        handled = len(scene.ledger.ends())
        scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > handled + 10, PATIENCE_S, "progress")  # noqa: B023


def _wait_until_idle(scene: Scene) -> None:
    """Wait until the worker blocks."""
    eventually(lambda: any(client["cmd"] == "bzpopmin" for client in scene.redis.client_list()), PATIENCE_S)
