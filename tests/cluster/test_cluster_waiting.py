"""Idle workers of a cluster wait on several nodes at once without keeping wake-ups from other workers."""

from __future__ import annotations

import os
from typing import Iterator

import pytest

from bizzmq import QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.cluster.connection import ClusterConnection
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, Scene
from tests.support.cluster import Cluster

LONG_S = 60.0


@pytest.fixture
def connection(cluster: Cluster) -> Iterator[ClusterConnection]:
    made = ClusterConnection(cluster.url)
    yield made
    made.drop()


@pytest.fixture
def wakes(cluster: Cluster) -> list[str]:
    """The markers of three queues, each on another node."""
    return [Keys(name).wake for name in cluster.names_on_each_node()]


@pytest.mark.usually(1)
@pytest.mark.parametrize("woken_by", [0, 1, 2])
def test_a_marker_on_any_node_wakes_and_ends_the_waiting_on_all(
    cluster: Cluster, connection: ClusterConnection, wakes: list[str], woken_by: int
) -> None:
    for _ in range(2):  # the connections of the first wait are reused
        connection.block(wakes, LONG_S)
        assert not connection.wait(0.05)
        assert _blocked(cluster) == [1, 1, 1]

        connection.execute("ZADD", wakes[woken_by], 0, "m")

        assert connection.wait(PATIENCE_S)
        connection.unblocked()
        assert _blocked(cluster) == [0, 0, 0]
        assert [connection.execute("ZCARD", wake) for wake in wakes] == [0, 0, 0]


def test_markers_that_came_at_the_same_time_are_put_back_but_one(
    cluster: Cluster, connection: ClusterConnection, wakes: list[str]
) -> None:
    connection.block(wakes, LONG_S)
    eventually(lambda: _blocked(cluster) == [1, 1, 1])
    for wake in wakes:
        connection.execute("ZADD", wake, 0, "m")

    assert connection.wait(PATIENCE_S)
    connection.unblocked()

    assert sum(connection.execute("ZCARD", wake) for wake in wakes) == len(wakes) - 1


def test_another_descriptor_ends_the_wait_too(connection: ClusterConnection, wakes: list[str]) -> None:
    read, write = os.pipe()
    try:
        os.write(write, b".")
        connection.block(wakes, LONG_S)
        assert not connection.wait(LONG_S, read)
    finally:
        os.close(read)
        os.close(write)


def test_a_node_that_dies_ends_the_wait(cluster: Cluster, connection: ClusterConnection, wakes: list[str]) -> None:
    connection.block(wakes, LONG_S)
    cluster.servers[1].kill()

    assert connection.wait(PATIENCE_S)
    connection.unblocked()


def test_a_user_without_permission_to_unblock_can_wait_too(
    cluster: Cluster, connection: ClusterConnection, wakes: list[str]
) -> None:
    connection.block(wakes, LONG_S)
    for server in cluster.servers[:3]:
        with server.client() as client:
            command(client, "ACL", "SETUSER", "default", "-client|unblock")
    connection.execute("ZADD", wakes[0], 0, "m")

    assert connection.wait(PATIENCE_S)
    connection.unblocked()
    eventually(lambda: _blocked(cluster) == [0, 0, 0])


def test_one_worker_serves_queues_on_all_nodes_and_wakes_for_each(cluster: Cluster, cluster_scene: Scene) -> None:
    scene = cluster_scene
    names = cluster.names_on_each_node()
    for name in names:
        scene.mq.create_queue(name, QueueOptions(config_dead_letter_queue=True))
    pool = scene.pool(handler=HANDLER, queue=names, concurrency=1)
    opened = scene.gate()
    opened.open()

    for name in [*names, *reversed(names)]:
        eventually(lambda: _blocked(cluster) == [1, 1, 1], PATIENCE_S)
        [message] = scene.publish(opened.body(), queue=name)
        scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)

    for name in names:
        eventually(lambda: scene.mq.stats(name).acked == 2, PATIENCE_S)  # noqa: B023
    scene.retire(pool)


def test_a_script_unknown_to_a_node_is_sent_as_text(cluster: Cluster, connection: ClusterConnection) -> None:
    broker = Broker(connection)
    for name in cluster.names_on_each_node():
        assert broker.create(name, QueueOptions())
        assert not broker.create(name, QueueOptions())
        assert broker.options(name) == QueueOptions()


def _blocked(cluster: Cluster) -> list[int]:
    """The number of blocked clients of each master."""
    counts = []
    for server in cluster.servers[:3]:
        with server.client() as client:
            counts.append(int(command(client, "INFO", "clients")["blocked_clients"]))
    return counts
