"""Results on several servers: waits over all nodes at once, through a failover, and after a slot has moved."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable

import pytest

from bizzmq import App, AsyncBizzMQ, BizzMQ, MessageOptions, QueueOptions, as_completed, wait
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

KEPT = MessageOptions(result_ttl_s=600)


def double(number: int) -> int:
    return 2 * number


def waiting(url: str, queue: str, message_id: str) -> Callable[[], Any]:
    """A wait in another thread, which has begun; the function that is returned joins it and returns the result."""

    def read(begun: threading.Event) -> Any:
        with BizzMQ(url) as mq:
            with pytest.raises(TimeoutError):
                mq.result(queue, message_id, 0.1)
            begun.set()
            return mq.result(queue, message_id, 90)

    return _in_thread(read)


def waiting_async(url: str, queue: str, message_id: str) -> Callable[[], Any]:
    async def read(begun: threading.Event) -> Any:
        async with AsyncBizzMQ(url) as mq:
            with pytest.raises(TimeoutError):
                await mq.result(queue, message_id, 0.1)
            begun.set()
            return await mq.result(queue, message_id, 90)

    return _in_thread(lambda begun: asyncio.run(read(begun)))


def _in_thread(read: Callable[[threading.Event], Any]) -> Callable[[], Any]:
    found: list[Any] = []
    begun = threading.Event()
    thread = threading.Thread(target=lambda: found.append(read(begun)))
    thread.start()
    assert begun.wait(30)

    def join() -> Any:
        thread.join(100)
        return found[0]

    return join


each_client = pytest.mark.parametrize("begin", [waiting, waiting_async], ids=["blocking", "async"])


def test_one_wait_spans_all_nodes_and_shards_of_a_cluster(cluster: Cluster) -> None:
    app = App(cluster.url)
    names = [*cluster.names_on_each_node(), "sharded"]
    for name in names:
        app.queue(name, QueueOptions(shards=4 if name == "sharded" else 1))
    task = app.task(name="double", result_ttl_s=600)(double)
    for name in names:
        app.create_queue(name)
    handles = [task.using(queue=name).publish(number) for number in range(10) for name in names]
    stops = [app.client.consume_message_from_queue(name, app.dispatcher()) for name in names]

    done = list(as_completed(handles, 90))

    assert sorted(one.result() for one in done) == sorted(2 * number for number in range(10) for _ in names)
    assert wait(handles) == (handles, [])
    assert {one.status().state for one in handles} == {"succeeded"}
    for stop in stops:
        stop()
    app.close()


@each_client
def test_a_wait_follows_its_queue_to_another_node(cluster: Cluster, begin: Any) -> None:
    names = cluster.names_on_each_node()
    with BizzMQ(cluster.url) as mq:
        mq.create_queue(names[0])
        message = mq.publish_message_to_queue(names[0], 4, KEPT)
        result = begin(cluster.url, names[0], message)
        cluster.move(names[0], cluster.master_of(names[1]))
        mq.consume_until_empty(names[0], double, 60)

        assert result() == 8


@each_client
def test_a_wait_survives_a_failover(sentinel_group: SentinelGroup, begin: Any) -> None:
    url, old = sentinel_group.url, sentinel_group.master()
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        message = mq.publish_message_to_queue("q", 4, MessageOptions(result_ttl_s=600, confirm="replicas:1"))
        result = begin(url, "q", message)
        old.kill()
        sentinel_group.wait_failed_over(old)
        mq.consume_until_empty("q", double, 60)

        assert result() == 8
