"""The history of a queue on several servers: it is whole on a cluster, and counts nothing twice through a failover."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, QueueMetrics, QueueOptions
from bizzmq.client import new_broker
from bizzmq.metrics import reporter, rolling
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.testing.wait import eventually
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

SOON_S = 60.0


@pytest.fixture(autouse=True)
def _frequent_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "INTERVAL_S", 0.2)
    monkeypatch.setattr(rolling, "_YOUNG_MS", -1)


def succeeded(mq: BizzMQ, queue: str = "q") -> int:
    return mq.metrics(queue, last_s=600).total.succeeded


def handle(_body: Any) -> None: ...


def test_all_shards_on_all_nodes_are_in_it(cluster: Cluster) -> None:
    with BizzMQ(cluster.url) as mq:
        names = cluster.names_on_each_node()
        for name in names:
            mq.create_queue(name, QueueOptions(shards=2))
            mq.publish_messages_to_queue(name, range(20))
            for _ in range(2):
                mq.consume_message_from_queue(name, handle)
        for name in names:
            eventually(lambda: succeeded(mq, name) == 20, SOON_S)  # noqa: B023 - called at once
            broker = new_broker(mq)
            for shard in broker.shards(name):
                roll_up_queue(broker, shard)
            broker.connection.drop()
            assert succeeded(mq, name) == 20
            assert asyncio.run(read(cluster.url, name)).total.run == mq.metrics(name, last_s=600).total.run


async def read(url: str, queue: str) -> QueueMetrics:
    async with AsyncBizzMQ(url) as mq:
        return await mq.metrics(queue, last_s=600)


def test_it_goes_on_after_a_failover_and_counts_nothing_twice(sentinel_group: SentinelGroup) -> None:
    with BizzMQ(sentinel_group.url) as mq:
        mq.create_queue("q")
        mq.consume_message_from_queue("q", handle)
        mq.publish_messages_to_queue("q", range(30))
        eventually(lambda: succeeded(mq) == 30, SOON_S)
        old = sentinel_group.master()
        with old.client() as client:
            assert client.wait(1, 10_000) == 1

        old.kill()
        sentinel_group.wait_failed_over(old)

        mq.publish_messages_to_queue("q", range(30))
        eventually(lambda: mq.stats("q").acked == 60, SOON_S)
        eventually(lambda: succeeded(mq) == 60, SOON_S)
        eventually(lambda: mq.metrics("q", last_s=600).steps[-1].state is not None, SOON_S)
        assert succeeded(mq) == 60
