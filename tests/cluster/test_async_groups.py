"""AsyncBizzMQ on servers with failover: it finds the new master, and follows slots to other nodes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any, Awaitable, Callable

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerUnavailableError, MessageOptions, NotConfirmedError, QueueOptions
from bizzmq.aio.threads import in_thread
from bizzmq.errors import BrokerRefusesError
from bizzmq.testing.ports import free_port
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

CONFIRMED = MessageOptions(confirm="replicas:1")
BEFORE = 20
"""How many messages are published before the action begins."""


async def publish_during(url: str, queue: str, action: Callable[[], Any], options: MessageOptions) -> list[str]:
    """The bodies that four tasks publish before, during and after an action that blocks; confirmed ones, if asked."""
    bodies: list[str] = []
    is_over = asyncio.Event()
    numbers = itertools.count()

    async def publish(amq: AsyncBizzMQ) -> None:
        after = 0
        while after < 5:
            after += is_over.is_set()
            body = f"body {next(numbers)}"
            with contextlib.suppress(NotConfirmedError):  # there is one server less
                await amq.publish_message_to_queue(queue, body, options)
                bodies.append(body)

    async with AsyncBizzMQ(url) as amq:
        await amq.create_queue(queue)
        publishing = [asyncio.ensure_future(publish(amq)) for _ in range(4)]
        try:
            while len(bodies) < BEFORE:
                await asyncio.sleep(0.01)
            await in_thread(action)
            is_over.set()
            await asyncio.gather(*publishing)
        finally:
            for task in publishing:
                task.cancel()
    return bodies


def drained(url: str, queue: str) -> list[Any]:
    with BizzMQ(url) as mq:
        seen: list[Any] = []
        mq.consume_until_empty(queue, seen.append)
        assert mq.stats(queue).unaccounted == 0
        return seen


def run(main: Awaitable[Any]) -> Any:
    async def with_limit() -> Any:
        return await asyncio.wait_for(main, 90)

    return asyncio.run(with_limit())


def test_a_failover_loses_nothing_confirmed(sentinel_group: SentinelGroup) -> None:
    old = sentinel_group.master()

    def fail_over() -> None:
        old.kill()
        sentinel_group.wait_failed_over(old)

    confirmed = run(publish_during(sentinel_group.url, "q", fail_over, CONFIRMED))

    assert len(confirmed) >= BEFORE
    assert set(confirmed) <= set(drained(sentinel_group.url, "q"))


def test_passwords_of_sentinels_and_servers_are_used(start_sentinel_group: Callable[..., SentinelGroup]) -> None:
    group = start_sentinel_group(password="server-secret", sentinel_password="sentinel-secret")

    async def main() -> int:
        async with AsyncBizzMQ(group.url) as amq:
            await amq.create_queue("q")
            return len(await amq.publish_messages_to_queue("q", range(700)))

    assert run(main()) == 700
    assert drained(group.url, "q") == list(range(700))


def test_sentinels_that_do_not_answer_or_do_not_know_the_service_are_named() -> None:
    async def connect(url: str) -> None:
        async with AsyncBizzMQ(url):
            raise AssertionError("there is no such server")

    port = free_port()
    with pytest.raises(BrokerUnavailableError, match=f"no sentinel answers: 127.0.0.1:{port}"):
        run(connect(f"redis+sentinel://127.0.0.1:{port}/service"))


def test_a_server_that_is_no_sentinel_and_no_cluster_is_refused(url: str) -> None:
    async def connect(group_url: str) -> None:
        async with AsyncBizzMQ(group_url):
            raise AssertionError("there is no such server")

    host = url.split("/")[2]
    with pytest.raises(BrokerRefusesError, match="is not a sentinel"):
        run(connect(f"redis+sentinel://{host}/service"))
    with pytest.raises(BrokerRefusesError, match="is not a node of a cluster"):
        run(connect(f"redis+cluster://{host}"))


def test_queues_on_all_nodes_of_a_cluster_work(cluster: Cluster) -> None:
    names = cluster.names_on_each_node()

    async def main() -> list[int]:
        async with AsyncBizzMQ(cluster.url) as amq:
            for name in names:
                await amq.create_queue(name)
            await amq.create_queue("sharded", QueueOptions(shards=8))
            await asyncio.gather(*[amq.publish_messages_to_queue(name, range(1200)) for name in [*names, "sharded"]])
            await asyncio.gather(*[amq.publish_message_to_queue("sharded", 1, CONFIRMED) for _ in range(3)])
            shown = {one.queue for one in await amq.queues()}
            assert {*names, "sharded"} <= shown
            return [(await amq.stats(name)).waiting for name in [*names, "sharded"]]

    assert run(main()) == [1200] * len(names) + [1203]


def test_a_queue_that_moves_to_another_node_is_followed(cluster: Cluster) -> None:
    names = cluster.names_on_each_node()
    target = cluster.master_of(names[1])

    bodies = run(publish_during(cluster.url, names[0], lambda: cluster.move(names[0], target), MessageOptions()))

    assert sorted(drained(cluster.url, names[0])) == sorted(bodies)


def test_a_master_of_a_cluster_that_dies_is_replaced(cluster: Cluster) -> None:
    old = cluster.master_of("q")

    def fail_over() -> None:
        old.kill()
        cluster.wait_failed_over("q", old)

    confirmed = run(publish_during(cluster.url, "q", fail_over, CONFIRMED))

    assert len(confirmed) >= BEFORE
    assert set(confirmed) <= set(drained(cluster.url, "q"))
