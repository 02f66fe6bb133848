"""R23 and R24: Redis is emptied under load, or accepts no more clients."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable

import pytest

from bizzmq import BizzMQ, BrokerUnavailableError, QueueNotFoundError
from bizzmq.testing import invariants
from bizzmq.testing.layout import command, snapshot
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.gated_handler import HANDLER
from tests.faults.load import repeated
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
CANARY = "canary-3b77aa"
GONE = "the queue is gone, Redis has lost its data"
WORK = {"do": "sleep", "sleep_s": 0.002}
FLUSHES = 3
LOCKED_OUT_S = 1.5


def test_a_redis_emptied_under_load_is_reported_and_used_again(own_scene: OwnScene) -> None:
    _, scene = own_scene(password=CANARY)
    pool = scene.pool("--lease=1", url_in_env=True, ready=False)
    eventually(lambda: len(scene.registered()) == 2, PATIENCE_S, pool.log)
    published: list[tuple[float, list[str]]] = []

    def publish() -> None:
        began_s = time.monotonic()
        with contextlib.suppress(QueueNotFoundError):  # until the pool has created it again
            published.append((began_s, scene.publish(*[WORK] * 4)))

    emptied_s, emptied = 0.0, []
    reported = len(pool.log().splitlines())
    with repeated(publish):
        for flush in range(1, FLUSHES + 1):
            stale = set(scene.registered())
            _progresses(scene)
            command(scene.redis, "FLUSHALL")
            emptied_s = time.monotonic()
            emptied.append(emptied_s)
            log_says(pool, GONE, times=flush)
            eventually(lambda: len(set(scene.registered()) - stale) == 2, PATIENCE_S, pool.log)  # noqa: B023
            assert not stale & set(scene.registered()), "a worker continued under its old id"
            invariants.check_one_place(scene.redis, QUEUE)
            invariants.check_nothing_stranded(scene.redis, QUEUE)
        _progresses(scene)
    assert len(pool.log().splitlines()) - reported < 12 * FLUSHES, pool.log()

    safe = [name for began_s, names in published if began_s > emptied_s for name in names]
    assert safe
    scene.ledger.wait_handled(*safe, timeout_s=PATIENCE_S)
    scene.figures.lost(len(set(safe) - scene.ledger.handled()))
    for each_s in emptied:
        scene.runs_again(each_s, *[name for began_s, names in published if began_s > each_s for name in names])
    eventually_holds(lambda: invariants.check_at_rest(scene.redis, QUEUE), PATIENCE_S)
    assert not scene.ledger.duplicates()
    assert pool.log().count(GONE) == FLUSHES
    assert command(scene.redis, "SISMEMBER", "bizzmq:queues", QUEUE)
    scene.retire(pool)
    invariants.check_log(pool.log(), secrets=[CANARY])


def test_an_in_process_consumer_continues_when_its_queue_exists_again(scene: Scene) -> None:
    handled: list[Any] = []
    stop = scene.mq.consume_message_from_queue(QUEUE, handled.append)
    scene.mq.publish_message_to_queue(QUEUE, "before")
    eventually(lambda: handled == ["before"], PATIENCE_S)

    command(scene.redis, "FLUSHALL")
    scene.mq.create_queue(QUEUE)
    scene.mq.publish_message_to_queue(QUEUE, "after")

    eventually(lambda: handled == ["before", "after"], PATIENCE_S)
    stop()
    assert not snapshot(scene.redis, QUEUE)[0].workers


def test_a_redis_that_accepts_no_more_clients_is_logged_as_an_outage(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    pool = scene.pool("--lease=1", handler=HANDLER, concurrency=2)
    gate = scene.gate()
    scene.ledger.wait_started(scene.publish_one(gate.body()))
    reported = len(pool.log().splitlines())

    command(scene.redis, "CONFIG", "SET", "maxclients", 1)
    command(scene.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    gate.open()  # the ack has to wait
    log_says(pool, "max number of clients reached", times=2)
    with pytest.raises(BrokerUnavailableError):
        BizzMQ(server.url)
    with invariants.log_rate(pool.log, limit_per_s=4.0):
        time.sleep(LOCKED_OUT_S)  # how long the fault lasts
    command(scene.redis, "CONFIG", "SET", "maxclients", 1000)
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    opened = scene.gate()
    opened.open()
    scene.publish(*[opened.body()] * 10)
    scene.settle(extra_runs=0)
    assert scene.totals() == {"published": 11, "acked": 11}
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    assert len(pool.log().splitlines()) - reported < 30
    scene.retire(pool)


def _progresses(scene: Scene) -> None:
    handled = len(scene.ledger.ends())
    scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > handled + 40, PATIENCE_S, "progress")
