"""D7: very many due messages, dead letters and dead workers: each script call stays below 5 ms."""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Iterable

import pytest
from redis import Redis

from bizzmq.admin import dead_letters, purge
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.support.script_times import ScriptTimes

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
NOOP = "tests.handlers:noop"
DEAD = f"{QUEUE}_dlq"
BATCH = 1_000
SOAK_S = 600.0


def sizes(normal: int, soak: int) -> Any:
    """The sizes of an ordinary run and of the soak."""
    huge = pytest.param(soak, marks=[pytest.mark.soak, pytest.mark.timeout(SOAK_S)], id=f"{soak}")
    return pytest.mark.parametrize("count", [pytest.param(normal, id=f"{normal}"), huge])


@sizes(30_000, 1_000_000)
def test_many_messages_that_are_due_at_once(own_scene: OwnScene, count: int) -> None:
    _, scene = own_scene()
    keys = Keys(QUEUE)
    _fill(scene.redis, keys.messages, _ids(count), lambda name: (name, b'1\n"due"'), "HSET")
    due_ms = int(time.time() * 1000) - count
    _fill(scene.redis, keys.delayed, enumerate(_ids(count)), lambda pair: (due_ms + pair[0], pair[1]), "ZADD")
    times = ScriptTimes(scene.redis)

    pool = scene.pool(handler=NOOP)
    with load(scene, "meanwhile", "meanwhile"):
        eventually(lambda: scene.totals().get("acked", 0) >= count, SOAK_S, lambda: f"{scene.totals()} {pool.log()}")

    total = count + len(scene.ledger.published())
    eventually(lambda: scene.totals()["acked"] == total, PATIENCE_S, lambda: f"{scene.totals()}")
    times.check(at_least=count // 100)
    invariants.check_at_rest(scene.redis, QUEUE)
    assert "retried" not in scene.totals()
    scene.retire(pool)


@sizes(20_000, 100_000)
def test_many_dead_letters(own_scene: OwnScene, count: int, rng: random.Random) -> None:
    _, scene = own_scene()
    dead, ids = Keys(DEAD), list(_ids(count))
    _fill(scene.redis, dead.messages, ids, lambda name: (name, b'1\t{}\t{"kind":"failure"}\n{"do":"ok"}'), "HSET")
    _fill(scene.redis, dead.waiting, ids, lambda name: (name,), "LPUSH")
    broker = Broker(Connection(scene.url))
    times = ScriptTimes(scene.redis)

    picked = [*ids[:10], *ids[-10:], *rng.sample(ids[10:-10], 80)]
    for name in picked:
        letter = dead_letters.dead_letter(broker, QUEUE, name)
        assert letter is not None
        assert broker.replay(QUEUE, letter.id, letter.priority)
    assert scene.mq.stats(QUEUE).dead_lettered == count - 100
    times.check(at_least=100)

    times.begin()
    scene.ledger.record_published(*picked)
    pool = scene.pool()
    scene.publish(*[{"do": "reject"}] * 100)
    scene.ledger.wait_for(lambda ledger: len(ledger.ends()) == 200, PATIENCE_S)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == count, PATIENCE_S)
    times.check(at_least=100)

    times.begin()
    while purge.purge(broker, DEAD) == 100:
        pass
    times.check(at_least=count // 100)
    assert scene.mq.stats(QUEUE).dead_lettered == 0
    broker.connection.drop()
    eventually_holds(lambda: invariants.check_at_rest(scene.redis, QUEUE), PATIENCE_S)
    assert scene.totals()["acked"] == 100
    scene.retire(pool, tracebacks=100)


@sizes(500, 10_000)
def test_many_dead_workers(own_scene: OwnScene, count: int) -> None:
    _, scene = own_scene()
    keys, held = Keys(QUEUE), 2
    owners = [f"gone:{number % (count // 10)}:1:x" for number in range(count)]
    workers = [f"{owner}/{number}.w" for number, owner in enumerate(owners)]
    ids = list(_ids(count * held))
    _fill(scene.redis, keys.messages, ids, lambda name: (name, b'1\n"held"'), "HSET")
    _fill(scene.redis, keys.supervisors, sorted(set(owners)), lambda owner: (owner, 7), "HSET")
    _fill(scene.redis, keys.workers, zip(workers, owners), lambda pair: pair, "HSET")
    pipeline = scene.redis.pipeline(transaction=False)
    for number, worker in enumerate(workers):
        pipeline.lpush(keys.processing(worker), *ids[number * held : (number + 1) * held])
    pipeline.execute()
    times = ScriptTimes(scene.redis)

    reaper, other = (scene.pool("--lease=2", handler=NOOP, ready=False) for _ in range(2))
    eventually(lambda: len(scene.registered()) == 4, SOAK_S, lambda: f"{len(scene.registered())} {reaper.log()}")

    eventually(lambda: scene.totals().get("acked", 0) == len(ids), PATIENCE_S, lambda: f"{scene.totals()}")
    times.check(at_least=count)
    invariants.check_at_rest(scene.redis, QUEUE)
    assert scene.totals()["requeued"] == len(ids)
    for pool in (reaper, other):
        assert "lease lost" not in pool.log(), "a supervisor that was busy reaping was reaped"
        assert len(pool.started_worker_pids()) == 2
    assert not command(scene.redis, "HLEN", keys.supervisors) - 2
    scene.retire(reaper, other)


def _ids(count: int) -> Iterable[str]:
    """Ids in the form of publishers, older than any id that is published now."""
    return (f"{number:013x}deadbee" for number in range(count))


def _fill(redis: Redis, key: str, items: Iterable[Any], words: Callable[[Any], tuple[Any, ...]], name: str) -> None:
    """Store many items in one container, a thousand with each command."""
    batch: list[Any] = []
    for number, item in enumerate(items, start=1):
        batch += words(item)
        if number % BATCH == 0:
            command(redis, name, key, *batch)
            batch = []
    if batch:
        command(redis, name, key, *batch)
