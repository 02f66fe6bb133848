"""R1 and R2: redis-server is killed and started again, with and without its data."""

from __future__ import annotations

import socket
import time
from typing import Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerUnavailableError, QueueNotFoundError
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.features import need_setting

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
WORK = {"do": "sleep", "sleep_s": 0.002}
BACK_WITHIN_S = 5.0


def test_kills_of_redis_under_load_lose_and_duplicate_nothing(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof", fsync="always")
    pool = scene.pool()
    workers = set(scene.registered())
    delays_s = []

    with load(scene, *[WORK] * 4):
        for _ in range(4):
            handled = len(scene.ledger.ends())
            scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > handled + 30, PATIENCE_S)  # noqa: B023
            server.kill()
            server.start()
            delays_s.append(_until_a_new_message_runs(scene, time.monotonic()))
            scene.figures.recovered(delays_s[-1])
            invariants.check_one_place(scene.redis, QUEUE)

    assert min(delays_s) < BACK_WITHIN_S, delays_s
    scene.settle(extra_runs=0)
    assert scene.totals()["acked"] == len(scene.ledger.published())
    assert set(scene.registered()) == workers, "a worker did not survive"
    scene.retire(pool)


def test_a_redis_that_still_loads_its_data_is_an_outage_for_every_client(own_scene: OwnScene, redis: Redis) -> None:
    need_setting(redis, "key-load-delay")
    # A loading server serves its clients once in 1024 commands: with this delay three times a second.
    server, scene = own_scene(persistence="aof", fsync="always", config=["key-load-delay 300"])
    filling = scene.redis.pipeline(transaction=False)
    for number in range(6_000):
        filling.set(f"filling:{number}", 1)
    filling.execute()
    pool = scene.pool(handler=HANDLER)
    gates = [scene.gate() for _ in range(2)]
    running = scene.publish(*[gate.body() for gate in gates])
    for message in running:
        scene.ledger.wait_started(message)
    opened = scene.gate()
    opened.open()
    scene.publish(*[opened.body()] * 50)

    server.kill()
    server.start(wait=False)
    eventually(lambda: _is_loading(server), PATIENCE_S, server.log)
    for gate in gates:
        gate.open()  # both acks are pending while it loads
    second = scene.pool(handler=HANDLER, ready=False)
    with pytest.raises(BrokerUnavailableError):
        BizzMQ(server.url)
    assert _is_loading(server), "it loaded too fast for this test"
    server.wait_ready()
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S, second.log)
    scene.settle(extra_runs=0)
    assert {event.pid for event in scene.ledger.starts()} >= set(pool.worker_pids())
    scene.retire(pool, second)


def test_a_redis_that_comes_back_empty_is_reported_and_used_again(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    pool = scene.pool(handler=HANDLER)
    stale_ids = set(scene.registered())
    gates = [scene.gate() for _ in range(2)]
    running = scene.publish(*[gate.body() for gate in gates])
    for message in running:
        scene.ledger.wait_started(message)
    scene.mq.publish_messages_to_queue(QUEUE, [scene.gate().body()] * 20)  # lost with Redis, never to run

    server.kill()
    server.start()
    back_s = time.monotonic()
    log_says(pool, "the queue is gone, Redis has lost its data")
    for gate in gates:
        gate.open()
    log_says(pool, "lease lost", times=2)

    fresh = scene.gate()
    fresh.open()
    message = eventually(
        lambda: scene.publish_one(fresh.body()), PATIENCE_S, "the queue to be there", ignoring=(QueueNotFoundError,)
    )
    scene.runs_again(back_s, message)
    scene.ledger.wait_handled(message, *running, timeout_s=PATIENCE_S)
    eventually(lambda: len(scene.registered()) == 2, PATIENCE_S)
    assert not stale_ids & set(scene.registered())
    scene.settle(extra_runs=0)
    assert command(scene.redis, "SISMEMBER", "bizzmq:queues", QUEUE)
    scene.retire(pool)


def _until_a_new_message_runs(scene: Scene, since_s: float) -> float:
    """Seconds until a message that was published after this time runs."""

    def runs() -> bool:
        fresh = {event.id for event in scene.ledger.events("published") if event.time_s > since_s}
        return any(event.id in fresh for event in scene.ledger.starts())

    eventually(runs, PATIENCE_S, lambda: f"a new message to run; {scene.ledger.totals()}")
    return time.monotonic() - since_s


def _is_loading(server: RedisServer) -> bool:
    try:
        with socket.create_connection((server.host, server.port), timeout=5.0) as client:
            client.sendall(b"PING\r\n")
            return client.recv(100).startswith(b"-LOADING")
    except OSError:
        return False
