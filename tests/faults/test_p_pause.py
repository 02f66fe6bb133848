"""P1, P2, R1 and R8 with pauses: what is put aside is neither lost nor run, and goes back in its order."""

from __future__ import annotations

import os
import signal
from typing import Callable

import pytest

from bizzmq import BizzMQ, BrokerUnavailableError, MessageOptions
from bizzmq.broker import scripts
from bizzmq.broker.broker import open_broker
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

OK = {"do": "ok"}


def paused(scene: Scene, count: int) -> list[str]:
    """Messages with a key that is paused."""
    scene.mq.pause(QUEUE, key="a", by="ada")
    return scene.mq.publish_messages_to_queue(QUEUE, [OK] * count, MessageOptions(key="a"))


def aside(scene: Scene, count: int) -> bool:
    stats = scene.mq.stats(QUEUE)
    return (stats.suspended, stats.waiting, stats.processing, stats.unaccounted) == (count, 0, 0, 0)


@pytest.mark.parametrize("role", ["worker", "supervisor"])
def test_what_is_aside_stays_when_processes_are_killed(scene: Scene, role: str) -> None:
    """P1, P2: a killed worker or supervisor brings nothing back."""
    pool = scene.pool("--lease=3", concurrency=1)
    messages = paused(scene, 150)
    eventually(lambda: aside(scene, 150), PATIENCE_S)

    os.kill(pool.worker_pids()[0] if role == "worker" else pool.supervisor_pid, signal.SIGKILL)
    if role == "supervisor":
        eventually(lambda: not pool.living(), PATIENCE_S)
        pool = scene.pool(concurrency=1)

    assert aside(scene, 150)
    assert scene.mq.resume(QUEUE, key="a")
    eventually(lambda: scene.mq.stats(QUEUE).acked == 150, PATIENCE_S)
    assert [start.id for start in scene.ledger.starts()] == messages, "each once, in the old order"
    scene.retire(pool)


def test_a_client_that_dies_between_two_pages_of_a_resume(scene: Scene) -> None:
    """Workers take nothing until a pool has returned the rest, so the order stays."""
    pool = scene.pool(concurrency=1)
    messages = paused(scene, 250)
    eventually(lambda: aside(scene, 250), PATIENCE_S)

    with open_broker(scene.url) as broker:
        done = broker.resume(QUEUE, "key:a")
    assert (done.ended, done.returned) == (True, 100)

    eventually(lambda: scene.mq.stats(QUEUE).acked == 250, PATIENCE_S)
    assert [start.id for start in scene.ledger.starts()] == messages
    scene.retire(pool)


def test_pauses_are_there_after_a_restart_of_redis(own_scene: Callable[..., tuple[RedisServer, Scene]]) -> None:
    """R1."""
    server, scene = own_scene(persistence="aof", fsync="always")
    pool = scene.pool(concurrency=1)
    messages = paused(scene, 5)
    eventually(lambda: aside(scene, 5), PATIENCE_S)
    scene.mq.pause(QUEUE, by="ada")

    server.kill()
    server.start()

    eventually(lambda: aside(scene, 5), PATIENCE_S, ignoring=(BrokerUnavailableError,))
    assert [(one.key, one.by) for one in scene.mq.pauses(QUEUE)] == [("", "ada"), ("a", "ada")]
    assert scene.mq.resume(QUEUE, key="a")
    assert scene.mq.stats(QUEUE).waiting == 5
    assert scene.mq.resume(QUEUE)
    eventually(lambda: scene.mq.stats(QUEUE).acked == 5, PATIENCE_S)
    assert [start.id for start in scene.ledger.starts()] == messages
    scene.retire(pool)


@pytest.mark.parametrize("script", ["pause", "resume", "claim"])
def test_a_lost_reply_changes_nothing(scene: Scene, proxy_factory: Callable[[str], Proxy], script: str) -> None:
    """R8."""
    link = proxy_factory(scene.url)
    digest = scripts.load(script).digest.encode()
    pool = scene.pool(url=link.url, concurrency=1)
    if script == "claim":
        swallowed = link.swallow_next_reply(digest)
        messages = paused(scene, 3)
        swallowed.wait()
        eventually(lambda: aside(scene, 3), PATIENCE_S)
        scene.mq.resume(QUEUE, key="a")
    else:
        with BizzMQ(link.url) as mq:
            if script == "resume":
                messages = paused(scene, 3)
                eventually(lambda: aside(scene, 3), PATIENCE_S)
            swallowed = link.swallow_next_reply(digest)
            if script == "pause":
                mq.pause(QUEUE, key="a")
                messages = paused(scene, 3)
                eventually(lambda: aside(scene, 3), PATIENCE_S)
            mq.resume(QUEUE, key="a")
            swallowed.wait()
    eventually(lambda: scene.mq.stats(QUEUE).acked == 3, PATIENCE_S)
    assert [start.id for start in scene.ledger.starts()] == messages
    assert scene.mq.pauses(QUEUE) == []
    scene.retire(pool)
