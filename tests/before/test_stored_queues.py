"""Queues that the version before has written are audited, handled and replayed.

tests/data/stored_before_features.json has them: each key with its type and its content as base64. The queue `mail` has
waiting, prioritized and delayed messages, `sharded` three shards, `plain` dead letters and two messages that a lost
host holds, `jobs` tasks: one waits, one waits for its retry, one is dead-lettered.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import App, BizzMQ
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually

DUMP = Path(__file__).parents[1] / "data" / "stored_before_features.json"
PATIENCE_S = 60.0


def load(redis: Redis) -> None:
    for key, (kind, content) in json.loads(DUMP.read_text()).items():
        if kind == "string":
            redis.set(key, base64.b64decode(content), ex=120)
        elif kind == "hash":
            redis.hset(key, mapping={base64.b64decode(name): base64.b64decode(value) for name, value in content})
        elif kind == "list":
            redis.rpush(key, *map(base64.b64decode, content))
        elif kind == "set":
            redis.sadd(key, *map(base64.b64decode, content))
        else:
            redis.zadd(key, {base64.b64decode(name): score for name, score in content})


@pytest.fixture
def mq(url: str, redis: Redis) -> Any:
    load(redis)
    with BizzMQ(url) as client:
        yield client


def damage(url: str, queue: str) -> list[Any]:
    connection = Connection(url)
    try:
        return [finding.what for finding in audit(Broker(connection), queue, 0.1).findings]
    finally:
        connection.drop()


def test_they_are_audited(mq: BizzMQ, url: str) -> None:
    counts = {queue: mq.stats(queue) for queue in ("mail", "sharded", "jobs", "plain")}

    assert {queue: damage(url, queue) for queue in ("mail", "sharded", "jobs")} == {
        "mail": [],
        "sharded": [],
        "jobs": [],
    }
    assert {queue: (one.waiting, one.delayed, one.processing, one.dead_lettered) for queue, one in counts.items()} == {
        "mail": (6, 1, 0, 0),
        "sharded": (9, 0, 0, 0),
        "jobs": (1, 1, 0, 1),
        "plain": (0, 0, 2, 2),
    }


def test_a_pool_handles_all_of_them_and_what_a_lost_host_holds(
    mq: BizzMQ, url: str, pool_factory: Callable[..., Pool]
) -> None:
    queues = ["mail", "sharded", "plain"]
    pool = pool_factory(url, queue=queues, handler="tests.before.handlers:accept", args=["--lease=1"])
    assert mq.replay("plain") == 2

    def is_done() -> bool:
        return all(mq.stats(queue).acked == count for queue, count in zip(queues, (7, 9, 4)))

    eventually(is_done, PATIENCE_S, lambda: f"{[mq.stats(queue) for queue in queues]}\n{pool.log()}")
    for queue in queues:
        stats = mq.stats(queue)
        assert (stats.waiting, stats.delayed, stats.processing, stats.dead_lettered) == (0, 0, 0, 0)
        assert damage(url, queue) == []


def test_tasks_go_on(mq: BizzMQ, url: str) -> None:
    seen: list[str] = []
    app = App(url, queue="jobs")

    @app.task(name="jobs.run", max_retries=3)
    def run(to: str) -> str:
        seen.append(to)
        return to

    assert mq.replay("jobs") == 1
    app.run_until_idle(timeout_s=PATIENCE_S)

    assert sorted(seen) == ["later", "nobody", "waits"]
    assert damage(url, "jobs") == []
    app.close()
