"""A rolling deploy: workers and publishers of the version before work on the same queue at the same time.

Its scripts are kept in tests/data/lua_before.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.broker.workers import DeadWorker
from bizzmq.connection.base import Connection
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts
from bizzmq.testing import invariants
from tests.scripts.containers import Containers, look, put
from tests.scripts.moves import QUEUE

BEFORE = Path(__file__).parents[1] / "data" / "lua_before"
PRIORITIES = (0, 5, -5, 1, 2**53)


def source(name: str) -> str:
    return (BEFORE / f"{name}.lua.txt").read_text(encoding="utf-8")


class OldRunner(ScriptRunner):
    """Runs the scripts of the version before."""

    def run(self, name: str, call: Call) -> Any:
        if not (BEFORE / f"{name}.lua.txt").exists():
            return super().run(name, call)
        return self.connection.execute(*self.command(name, call[0]), *call[1])

    def command(self, name: str, key_names: Sequence[Any]) -> Tuple[Any, ...]:
        if not (BEFORE / f"{name}.lua.txt").exists():
            return super().command(name, key_names)
        return ("EVAL", source("common") + source(name), len(key_names), *key_names)


class Deploy:
    """Messages that a pool of each version handles in turn."""

    def __init__(self, brokers: Sequence[Broker], seed: int) -> None:
        self._brokers, self._random = brokers, random.Random(seed)
        self._workers = [f"w{index}" for index, _ in enumerate(brokers)]
        self._deaths = self._requests = 0
        self.published: Dict[str, int] = {}
        self.done: List[str] = []
        for broker, worker in zip(brokers, self._workers):
            broker.register(QUEUE, "s", worker)

    def step(self) -> None:
        index = self._random.randrange(len(self._brokers))
        broker = self._brokers[index]
        self._random.choice([self._publish, self._work, self._work, self._die])(broker, index)

    def _publish(self, broker: Broker, index: int) -> None:
        priority = self._random.choice(PRIORITIES)
        ids = [f"m{len(self.published) + number:05}" for number in range(self._random.randrange(1, 4))]
        self.published.update(dict.fromkeys(ids, priority))
        self._requests += 1
        entries = [part for name in ids for part in (name, b"1\n1")]
        broker.publish(QUEUE, f"p{index}", self._requests, self._random.choice([0, 0, 1]), priority, entries)

    def _work(self, broker: Broker, index: int) -> None:
        worker = self._workers[index]
        entries = list(broker.claim(QUEUE, worker, 4).entries)
        for number, (raw_id, _, counts) in enumerate(entries):
            name, seen = raw_id.decode(), Attempts.decode(counts) if counts else NO_ATTEMPTS
            if number == 0:
                broker.claim(QUEUE, worker, 0, [name])
                self.done.append(name)
            elif number == 1:
                counted = Attempts(seen.retries + 1, seen.crashes, seen.requeues, seen.priority)
                assert broker.retry(QUEUE, worker, name, seen.encode(), counted.encode(), 0)

    def _die(self, broker: Broker, index: int) -> None:
        assert broker.requeue(QUEUE, self._workers[index], DeadWorker("stopped")) is not None
        self._deaths += 1
        self._workers[index] = f"w{index}.{self._deaths}"
        broker.register(QUEUE, "s", self._workers[index])


@pytest.fixture
def both(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as before:
        before.setattr("bizzmq.broker.broker.ScriptRunner", OldRunner)
        old = Broker(Connection(url))
    brokers = [old, Broker(Connection(url))]
    yield brokers
    for broker in brokers:
        broker.connection.drop()


@pytest.mark.parametrize("seed", range(4))
def test_two_versions_on_one_queue_lose_nothing_and_keep_priorities(
    both: Sequence[Broker], redis: Redis, seed: int
) -> None:
    put(redis, QUEUE, Containers())
    deploy = Deploy(both, seed)

    for _ in range(150):
        deploy.step()
    invariants.check_one_place(redis, QUEUE)
    for broker, worker in zip(both, deploy._workers):
        broker.requeue(QUEUE, worker, DeadWorker("stopped"))

    after = look(redis, QUEUE)
    assert sorted([*after.ids(), *deploy.done]) == sorted(deploy.published)
    assert {name: deploy.published[name] for name in after.prioritized} == dict(after.prioritized)
    assert after.stats["published"] == len(deploy.published)
    assert after.stats["acked"] == len(deploy.done)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_each_version_claims_what_the_other_has_published_highest_first(
    both: Sequence[Broker], redis: Redis, order: Tuple[int, int]
) -> None:
    put(redis, QUEUE, Containers())
    publisher, claimer = both[order[0]], both[order[1]]
    for number, priority in enumerate(PRIORITIES):
        publisher.publish(QUEUE, "p", number + 1, 0, priority, [f"m{priority}", b"1\n1"])
    claimer.register(QUEUE, "s", "w")

    claimed = [entry[0].decode() for entry in claimer.claim(QUEUE, "w", 100).entries]

    assert claimed == [f"m{priority}" for priority in sorted(PRIORITIES, reverse=True)]
