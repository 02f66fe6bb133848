"""One node of a cluster is away with what its queue is owed, and the worker or the whole pool dies meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from bizzmq import QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import snapshot
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
def test_a_failure_that_a_node_was_not_told_of_is_not_acked_with_later_successes(
    cluster: Cluster, cluster_scene: Scene
) -> None:
    scene = cluster_scene
    away, there = _queues(cluster, scene)
    pool = scene.pool("--lease=2", handler=HANDLER, queue=[away, there], concurrency=1)
    gate, opened = scene.gate(), scene.gate()
    opened.open()
    scene.ledger.wait_handled(*scene.publish(*[opened.body()] * 50, queue=away), timeout_s=PATIENCE_S)
    failing, following = scene.publish(gate.body("raise", "ok"), opened.body(), queue=away)
    scene.ledger.wait_started(failing)
    (held,) = snapshot(cluster.at(away), away)[0].processing.values()  # type: ignore[arg-type]
    assert held == [following, failing]

    node = cluster.master_of(away)
    node.pause()
    gate.open()
    log_says(pool, f"on {away}")
    scene.ledger.wait_handled(scene.publish_one(opened.body(), queue=there), timeout_s=PATIENCE_S)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: len(pool.started_worker_pids()) == 2, PATIENCE_S, pool.log)
    node.resume()

    scene.ledger.wait_handled(failing, following, timeout_s=PATIENCE_S)
    _at_rest(cluster, scene, away, there)
    scene.retire(pool)


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
