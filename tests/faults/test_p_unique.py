"""P1, P2, R1 and R8 with unique keys and times of expiry: a key is taken exactly as long as its message lives."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq import BizzMQ, Context, MessageOptions
from bizzmq.consumer import failpoints
from bizzmq.errors import UniqueKeyInUseError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.conftest import Lose
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
K = QueueKeys(QUEUE)
OK = {"do": "ok"}


def again(scene: Scene, key: str, mq: BizzMQ | None = None, **options: Any) -> str:
    """The id that stands for one more message with this key."""
    given = MessageOptions(unique_key=key, **options)
    return (mq or scene.mq).publish_message_to_queue(QUEUE, OK, given)


def nothing_is_left(scene: Scene) -> None:
    scene.settle(extra_runs=10)
    assert not scene.redis.exists(*K.beside)


def test_a_killed_workers_message_keeps_its_key_until_it_has_ended(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body(), unique_key="k")
    victim = scene.ledger.wait_started(message).pid

    os.kill(victim, signal.SIGKILL)

    assert again(scene, "k") == message
    scene.ledger.wait_started(message, runs=2)
    assert again(scene, "k") == message
    gate.open()
    scene.settle(extra_runs=1)
    assert scene.publish_one(gate.body(), unique_key="k") != message
    nothing_is_left(scene)
    scene.retire(pool)


def test_the_key_of_a_quarantined_message_is_free_until_it_is_replayed(scene: Scene) -> None:
    pool = scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)
    first, second = scene.gate(), scene.gate()
    message = scene.publish_one(first.body(), unique_key="k")
    os.kill(scene.ledger.wait_started(message).pid, signal.SIGKILL)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1, PATIENCE_S)

    other = scene.publish_one(second.body(), unique_key="k")

    assert other != message
    with pytest.raises(UniqueKeyInUseError):
        scene.mq.replay(QUEUE, message)
    scene.ledger.wait_started(other)
    second.open()
    eventually(lambda: scene.mq.stats(QUEUE).acked == 1, PATIENCE_S)
    assert scene.mq.replay(QUEUE, message) == 1
    assert again(scene, "k") == message
    first.open()
    nothing_is_left(scene)
    scene.retire(pool)


def test_a_message_whose_worker_dies_after_its_time_of_expiry_is_not_started_again(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body(), unique_key="k", expires_s=2, result_ttl_s=60)
    victim = scene.ledger.wait_started(message).pid
    late_s = scene.redis.time()[0] + 3
    eventually(lambda: scene.redis.time()[0] >= late_s, PATIENCE_S)

    os.kill(victim, signal.SIGKILL)

    eventually(lambda: scene.mq.status(QUEUE, message).state == "expired", PATIENCE_S, pool.log)
    eventually(lambda: scene.mq.stats(QUEUE).expired == 1, PATIENCE_S)
    assert scene.mq.stats(QUEUE).unaccounted == 0
    assert len(scene.ledger.starts()) == 1
    assert not scene.redis.exists(*K.beside)
    scene.retire(pool)


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize("step", failpoints.NAMES)
def test_a_kill_at_this_step_loses_no_key_and_keeps_none(scene: Scene, tmp_path: Path, step: str) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = scene.pool(env={failpoints.VARIABLE: f"{step}:{fuse}"})
    keys = [f"k{number}" for number in range(20)]

    firsts = [scene.publish_one(OK, unique_key=key) for key in keys]
    eventually(lambda: not fuse.exists(), PATIENCE_S, "the step is reached")
    nothing_is_left(scene)

    seconds = [scene.publish_one(OK, unique_key=key) for key in keys]
    assert not set(firsts) & set(seconds)
    nothing_is_left(scene)
    assert scene.mq.stats(QUEUE).acked == 40
    scene.retire(pool)


def test_a_restart_of_redis_keeps_keys_times_progress_checkpoints_and_schedules(own_scene: OwnScene) -> None:
    server, scene = own_scene(persistence="aof", fsync="always")
    is_over = threading.Event()

    def handle(_: Any, context: Context) -> None:
        if context.delivery == 1 and not is_over.is_set():
            context.progress(1, 2)
            context.checkpoint({"at": 1})
            is_over.wait(PATIENCE_S)

    scene.mq.schedule("s", QUEUE, OK, every_s=3600)
    running = scene.publish_one(OK, unique_key="running")
    stop = scene.mq.consume_message_from_queue(QUEUE, handle)
    eventually(lambda: scene.redis.exists(K.progress, K.checkpoints) == 2, PATIENCE_S)
    delayed = scene.publish_one(OK, unique_key="delayed", on_duplicate="replace", delay_s=3600)
    throttled = scene.publish_one(OK, unique_key="throttled", unique_for_s=3600, delay_s=3600)
    expiring = scene.publish_one(OK, unique_key="expiring", expires_s=7200, delay_s=3600)
    kept = [K.extras, K.unique, K.checkpoints, K.throttled, K.schedules, K.fires]
    before = [scene.redis.hgetall(key) for key in kept]

    server.kill()
    server.start()

    assert [scene.redis.hgetall(key) for key in kept] == before
    assert again(scene, "running") == running
    assert again(scene, "delayed", on_duplicate="replace", delay_s=3600) == delayed
    assert again(scene, "throttled", unique_for_s=3600) == throttled
    assert again(scene, "expiring") == expiring
    is_over.set()
    eventually(lambda: scene.mq.stats(QUEUE).acked == 1, PATIENCE_S)
    stop()
    assert scene.redis.hgetall(K.unique) == {"delayed": delayed, "expiring": expiring}
    assert not scene.redis.exists(K.progress, K.checkpoints)
    assert scene.mq.stats(QUEUE).unaccounted == 0


@pytest.mark.parametrize("on_duplicate", ["keep", "replace"])
def test_a_lost_reply_to_a_unique_publish_stores_one_message(
    scene: Scene, lose: Lose, proxy: Proxy, on_duplicate: Any
) -> None:
    lost = lose("publish_checked")
    with BizzMQ(proxy.url) as publisher:
        first = again(scene, "k", publisher, on_duplicate=on_duplicate)
        assert lost.happened.is_set()
        lost = lose("publish_checked")
        second = again(scene, "k", publisher, on_duplicate=on_duplicate)
        assert lost.happened.is_set()

    assert second == first
    scene.ledger.record_published(first)
    assert scene.totals() == {"published": 1, "duplicates": 1}
    pool = scene.pool()
    nothing_is_left(scene)
    scene.retire(pool)
