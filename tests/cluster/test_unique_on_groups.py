"""Unique messages on several servers, blocking and in asyncio: on all nodes of a cluster, moved, after a failover."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, List

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, MessageOptions, QueueOptions
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

Publish = Callable[..., List[str]]


def publish(url: str, queue: str, keys: list[str], **others: Any) -> list[str]:
    """One message with each key; returns the ids that stand for them."""
    with BizzMQ(url) as mq:
        return [mq.publish_message_to_queue(queue, key, MessageOptions(unique_key=key, **others)) for key in keys]


def publish_async(url: str, queue: str, keys: list[str], **others: Any) -> list[str]:
    async def main() -> list[str]:
        async with AsyncBizzMQ(url) as amq:
            given = [MessageOptions(unique_key=key, **others) for key in keys]
            return [await amq.publish_message_to_queue(queue, key, one) for key, one in zip(keys, given)]

    return asyncio.run(main())


each_client = pytest.mark.parametrize("send", [publish, publish_async], ids=["blocking", "async"])
KEYS = [f"k{number}" for number in range(12)]


def handled(url: str, queue: str) -> list[Any]:
    bodies: list[Any] = []
    with BizzMQ(url) as mq:
        mq.consume_until_empty(queue, bodies.append, 60)
        assert mq.stats(queue).unaccounted == 0
    return sorted(bodies)


@each_client
def test_each_key_has_one_message_on_all_shards_of_a_cluster_and_follows_its_slot(
    cluster: Cluster, send: Publish
) -> None:
    names = cluster.names_on_each_node()
    with BizzMQ(cluster.url) as mq:
        for name in names[:2]:
            mq.create_queue(name, QueueOptions(shards=3))
    first = [send(cluster.url, name, KEYS) for name in names[:2]]

    cluster.move(names[0], cluster.master_of(names[1]))

    assert [send(cluster.url, name, KEYS) for name in names[:2]] == first
    assert [handled(cluster.url, name) for name in names[:2]] == [sorted(KEYS)] * 2
    assert not {*send(cluster.url, names[0], KEYS)} & {*first[0]}, "the keys are free"


@each_client
def test_keys_are_taken_after_a_failover(sentinel_group: SentinelGroup, send: Publish) -> None:
    url, old = sentinel_group.url, sentinel_group.master()
    with BizzMQ(url) as mq:
        mq.create_queue("q")
    first = send(url, "q", KEYS, confirm="replicas:1")

    old.kill()
    sentinel_group.wait_failed_over(old)

    assert send(url, "q", KEYS) == first
    assert handled(url, "q") == sorted(KEYS)
