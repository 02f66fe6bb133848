"""A queue with shards is audited and repaired as one queue."""

from __future__ import annotations

from typing import Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.audit.audit import audit
from bizzmq.audit.findings import Kind
from bizzmq.audit.repair import repair
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from tests.pool.command import OPERATOR, run

QUEUE = "wide"
NAMES = ["wide", "wide_dlq", "wide:1", "wide:1_dlq", "wide:2", "wide:2_dlq"]
LEASE_S = 0.05


@pytest.fixture
def ids(url: str, redis: Redis) -> list[str]:
    """Messages in all three shards."""
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, shards=3))
        published = [mq.publish_message_to_queue(QUEUE, {}) for _ in range(60)]
    assert all(redis.llen(Keys(name).waiting) for name in NAMES[::2])
    return published


def damage(redis: Redis) -> list[str]:
    """The oldest message of each shard loses its place."""
    lost = [redis.rpop(Keys(name).waiting) for name in NAMES[::2]]
    return [str(one) for one in lost]


@pytest.mark.parametrize("name", [QUEUE, "wide_dlq"])
def test_all_shards_are_audited(
    broker_at: Callable[[str], Broker], url: str, redis: Redis, ids: list[str], name: str
) -> None:
    broker = broker_at(url)
    found = audit(broker, name, LEASE_S)
    assert (found.balanced, [one.queue for one in found.accounts]) == (True, NAMES)
    assert sum(one.stored for one in found.accounts) == len(ids)

    lost = damage(redis)

    found = audit(broker, name, LEASE_S)
    assert [(one.kind, one.queue, one.subjects) for one in found.findings] == [
        (Kind.UNPLACED, shard, (message_id,)) for shard, message_id in zip(NAMES[::2], lost)
    ]
    mended, found = repair(broker, name, LEASE_S)
    assert ([one.queue for one, _ in mended], found.balanced) == (NAMES[::2], True)
    stored = {one for shard in NAMES[::2] for one in redis.lrange(Keys(shard).waiting, 0, -1)}
    assert stored == set(ids)


def test_one_shard_can_be_named(broker_at: Callable[[str], Broker], url: str, redis: Redis, ids: list[str]) -> None:
    damage(redis)

    found = audit(broker_at(url), "wide:1", LEASE_S)

    assert ([one.queue for one in found.accounts], len(found.findings)) == (NAMES[2:4], 1)


def test_each_shard_has_a_table_of_its_own(url: str, redis: Redis, ids: list[str]) -> None:
    lines = run(OPERATOR, "audit", QUEUE, REDIS_URL=url).lines()

    heads = [line.split() for line in lines if line.split() and line.split()[0] in NAMES]
    assert heads == [NAMES[:2], NAMES[2:4], NAMES[4:]]
    assert set(run(OPERATOR, "audit", QUEUE, "--json", REDIS_URL=url).json()["books"]) == set(NAMES)
