"""R3 and R4: Redis is unavailable for long, while a handler runs and when the pool starts."""

from __future__ import annotations

import time
from typing import Callable

from bizzmq.testing import invariants
from bizzmq.testing.layout import snapshot
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
AWAY_S = 4.0
"""Long enough for every back-off to reach its cap."""
AWAY, BACK = "Redis is unavailable", "Redis is available again"


def test_a_handler_that_ends_while_redis_is_away_is_acked_when_it_is_back(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof", fsync="always")
    pool = scene.pool(handler=HANDLER)
    first = set(pool.worker_pids())
    gates = {action: scene.gate() for action in ("ok", "raise")}
    messages = [scene.publish_one(gate.body(action, "ok")) for action, gate in gates.items()]
    for message in messages:
        scene.ledger.wait_started(message)

    server.kill()
    for gate in gates.values():
        gate.open()
    log_says(pool, AWAY, times=3)  # the janitor and two workers, which have ended their messages
    _stays_quiet(pool)
    assert {run.pid for run in scene.ledger.runs() if run.end is not None} == first
    server.start()
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    scene.settle(extra_runs=1)  # the one that failed
    assert scene.totals() == {"published": 2, "acked": 2, "retried": 1}
    eventually(lambda: pool.log().count(BACK) == 3, PATIENCE_S, pool.log)
    assert pool.log().count(AWAY) == 3
    assert set(pool.worker_pids()) == first == set(pool.started_worker_pids()), "a worker has exited"
    scene.retire(pool)


def test_a_pool_that_starts_without_redis_waits_for_it(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof", fsync="always")
    messages = scene.publish(*[{"do": "ok"}] * 10)
    server.kill()

    pool = scene.pool(ready=False)
    log_says(pool, AWAY)
    eventually(lambda: len(pool.worker_pids()) == 2, PATIENCE_S, pool.log)
    _stays_quiet(pool)
    started_s = time.monotonic()
    server.start()
    scene.runs_again(started_s)

    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=0)
    assert pool.log().count(AWAY) == 1, "only the janitor has requested it"
    assert len(pool.started_worker_pids()) == 2
    scene.retire(pool)


def test_a_worker_that_dies_while_redis_is_away_is_replaced_and_settled_when_it_is_back(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof", fsync="always")
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body("kill_self", "ok"))
    scene.ledger.wait_started(message)

    server.kill()
    gate.open()
    eventually(lambda: len(pool.started_worker_pids()) == 2, PATIENCE_S, pool.log)
    started_s = time.monotonic()
    server.start()
    scene.runs_again(started_s, message)

    scene.settle(extra_runs=1)
    assert [run.delivery for run in scene.ledger.runs_of(message)] == [1, 2]
    assert len(snapshot(scene.redis, QUEUE)[0].workers) == 1, "the registration of the dead worker stayed"
    scene.retire(pool)


def _stays_quiet(pool: Pool) -> None:
    """Check that during a long outage no process exits and nothing is logged twice."""
    living = pool.worker_pids()
    reported = pool.log().count(AWAY)
    with invariants.log_rate(pool.log):
        time.sleep(AWAY_S)  # how long the fault lasts
    assert pool.exit_code is None
    assert pool.worker_pids() == living
    assert pool.log().count(AWAY) == reported
