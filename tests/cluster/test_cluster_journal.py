"""One node of a cluster is away with what its queue is owed, and the worker or the whole pool dies meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bizzmq import QueueOptions
from bizzmq.broker import Broker
from bizzmq.connections import connect
from bizzmq.consumer import Consumer
from bizzmq.handler import Handler
from bizzmq.lease import LeaseKeeper
from bizzmq.loop import ConsumerOptions
from bizzmq.record import Record
from bizzmq.stop import Stop
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from tests.faults.gated import HANDLER
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.support.cluster import Cluster

FEW_NODES = pytest.mark.parametrize("cluster", [{"full_coverage": False, "replicas": False}], indirect=True)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, start_cluster):  # type: ignore[no-untyped-def]
    return start_cluster(**request.param)


@FEW_NODES
def test_what_each_node_is_owed_survives_the_pool(cluster: Cluster, cluster_scene: Scene, tmp_path: Path) -> None:
    scene, journal = cluster_scene, tmp_path / "journal"
    away, there = _queues(cluster, scene)
    options = {"handler": HANDLER, "queue": [away, there], "concurrency": 1}
    pool = scene.pool(f"--journal={journal}", **options)
    gate, opened = scene.gate(), scene.gate()
    opened.open()
    first = scene.publish_one(gate.body(), queue=away)
    scene.ledger.wait_started(first)

    node = cluster.master_of(away)
    node.pause()
    gate.open()
    log_says(pool, f"on {away}")
    later = scene.publish(*[opened.body()] * 3, queue=there)
    scene.ledger.wait_handled(*later, timeout_s=PATIENCE_S)  # its worker has finished others since
    eventually(lambda: not scene.mq.stats(there).processing, PATIENCE_S)
    assert len(list(journal.glob("*.journal"))) == 1
    pool.kill_group()
    node.resume()
    second = scene.pool(f"--journal={journal}", **options)

    log_says(second, "a journal was settled")
    _at_rest(cluster, scene, away, there)
    invariants.check_duplicates(scene.ledger, 0)
    assert not list(journal.iterdir())
    scene.retire(second)


@FEW_NODES
def test_after_a_failure_that_cannot_be_sent_nothing_more_of_its_batch_is_run(
    cluster: Cluster, cluster_scene: Scene
) -> None:
    # Else the later success would be known as the last one finished, and so would ack the failure if its worker died.
    queues = _queues(cluster, cluster_scene)
    node = cluster.master_of(queues[0])
    cluster_scene.mq.publish_messages_to_queue(queues[0], ["ok"] * 40 + ["fail"] + ["ok"] * 40)
    ran: list[str] = []

    def handler(body: str) -> None:
        ran.append(body)
        if body == "fail":
            os.kill(node.pid, signal.SIGKILL)
            raise RuntimeError(body)

    broker = Broker(connect(cluster_scene.url))
    LeaseKeeper(broker, "s", queues).register("w")
    consumer = Consumer(
        broker, "w", queues, Handler(handler), Stop(), Record(), ConsumerOptions(patience_s=0.0),
        lifeline=lambda: "fail" in ran,
    )  # fmt: skip
    consumer.run()

    assert ran == ["ok"] * 40 + ["fail"]


def _queues(cluster: Cluster, scene: Scene) -> tuple[str, str]:
    away, there, _ = cluster.names_on_each_node()
    for name in (away, there):
        scene.mq.create_queue(name, QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0))
    return away, there


def _at_rest(cluster: Cluster, scene: Scene, *queues: str) -> None:
    for name in queues:
        eventually(lambda: not scene.mq.stats(name).processing, PATIENCE_S)  # noqa: B023
        invariants.check_at_rest(cluster.at(name), name)  # type: ignore[arg-type]
        invariants.check_nothing_stranded(cluster.at(name), name)  # type: ignore[arg-type]
