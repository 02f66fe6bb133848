"""Cancel and pause on several servers: on every slot of a cluster, and through a failover."""

from __future__ import annotations

import threading
import time
from typing import Any, List

import pytest

from bizzmq import BizzMQ, MessageCancelled, MessageOptions, QueueOptions
from bizzmq.testing.wait import eventually
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

SOON_S = 60.0
KEPT = MessageOptions(result_ttl_s=600)
HANG = {"do": "hang"}


class Handler:
    """Runs until its message is cancelled, or notes its body and ends."""

    def __init__(self) -> None:
        self.bodies: List[Any] = []
        self.started, self.cancelled = threading.Event(), threading.Event()

    def __call__(self, body: Any) -> None:
        self.bodies.append(body)
        if body != HANG:
            return
        self.started.set()
        try:
            while True:
                time.sleep(0.01)
        except MessageCancelled:
            self.cancelled.set()
            raise


@pytest.fixture
def handler() -> Handler:
    return Handler()


def test_waiting_and_running_messages_of_all_nodes_are_cancelled(cluster: Cluster) -> None:
    with BizzMQ(cluster.url) as mq:
        for name in cluster.names_on_each_node():
            mq.create_queue(name, QueueOptions(shards=2))
            waiting = [mq.publish_message_to_queue(name, 1, KEPT) for _ in range(4)]
            mq.publish_message_to_queue(name, 1, MessageOptions(result_ttl_s=600, unique_key="k"))
            assert mq.cancel(waiting[0])
            assert mq.cancel(queue_name=name, unique_key="k")
            assert mq.cancel_all(name) == 3

            handler = Handler()
            mq.consume_message_from_queue(name, handler)
            running = mq.publish_message_to_queue(name, HANG, KEPT)
            assert handler.started.wait(SOON_S)
            assert mq.cancel(running, reason="late")
            assert handler.cancelled.wait(SOON_S)
            eventually(lambda: mq.status(name, running).state == "cancelled", SOON_S)  # noqa: B023 - called at once
            stats = mq.stats(name)
            assert (stats.cancelled, stats.unaccounted, handler.bodies) == (6, 0, [HANG])


def test_pauses_hold_on_all_shards_of_a_cluster(cluster: Cluster, handler: Handler) -> None:
    with BizzMQ(cluster.url) as mq:
        mq.create_queue("q", QueueOptions(shards=3))
        mq.pause("q", key="a", by="ada")
        mq.publish_messages_to_queue("q", range(30), MessageOptions(key="a"))
        mq.publish_messages_to_queue("q", ["b"] * 3)
        for _ in range(3):
            mq.consume_message_from_queue("q", handler)

        eventually(lambda: (mq.stats("q").suspended, mq.stats("q").acked) == (30, 3), SOON_S)
        assert mq.resume("q", key="a")
        eventually(lambda: mq.stats("q").acked == 33, SOON_S)
        assert (mq.stats("q").suspended, mq.stats("q").unaccounted, mq.pauses("q")) == (0, 0, [])


def test_a_cancel_and_a_pause_outlive_a_failover(sentinel_group: SentinelGroup, handler: Handler) -> None:
    with BizzMQ(sentinel_group.url) as mq:
        mq.create_queue("q")
        mq.consume_message_from_queue("q", handler)
        running = mq.publish_message_to_queue("q", HANG, KEPT)
        assert handler.started.wait(SOON_S)
        mq.pause("q", by="ada")
        mq.publish_message_to_queue("q", "after")
        old = sentinel_group.master()
        with old.client() as client:
            assert client.wait(1, 10_000) == 1

        old.kill()
        sentinel_group.wait_failed_over(old)

        assert mq.cancel(running)
        eventually(lambda: mq.status("q", running).state == "cancelled", SOON_S)
        assert [one.by for one in mq.pauses("q")] == ["ada"]
        assert handler.bodies == [HANG]
        assert mq.resume("q")
        eventually(lambda: handler.bodies == [HANG, "after"], SOON_S)
