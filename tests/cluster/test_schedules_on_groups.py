"""Schedules on several servers: on every slot of a cluster, and through a failover."""

from __future__ import annotations

from typing import Any, Dict, List

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.wait import eventually
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

SOON_S = 60.0
QUEUES = [f"q{number}" for number in range(4)]


def test_schedules_of_queues_on_all_nodes_fire_each_time_once(cluster: Cluster) -> None:
    handled: Dict[str, List[str]] = {name: [] for name in QUEUES}
    with BizzMQ(cluster.url) as mq:
        for name in QUEUES:
            mq.create_queue(name, QueueOptions(shards=2))
            mq.schedule("s", name, {"n": 1}, every_s=1)
            for _ in range(2):
                mq.consume_message_from_queue(name, lambda _, context, ids=handled[name]: ids.append(context.id))

        eventually(lambda: all(len(ids) >= 2 for ids in handled.values()), SOON_S)
        assert [one.queue for one in mq.schedules()] == QUEUES
        for name in QUEUES:
            mq.pause_schedule("s", name)
            fired = mq.show_schedule("s", name).fired
            eventually(lambda: len(handled[name]) == fired, SOON_S)  # noqa: B023 - called before the next turn
            assert len({*handled[name]}) == fired
            assert mq.remove_schedule("s", name)


def test_a_schedule_goes_on_after_a_failover(sentinel_group: SentinelGroup) -> None:
    handled: List[Any] = []
    with BizzMQ(sentinel_group.url) as mq:
        mq.create_queue("q")
        mq.schedule("s", "q", {"n": 1}, every_s=1)
        mq.consume_message_from_queue("q", handled.append)
        eventually(lambda: handled, SOON_S)

        old = sentinel_group.master()
        old.kill()
        sentinel_group.wait_failed_over(old)

        seen = len(handled)
        eventually(lambda: len(handled) > seen + 1, SOON_S)
