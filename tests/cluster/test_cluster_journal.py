"""One node of a cluster is unavailable with outcomes pending, and the worker or the whole pool dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from bizzmq import BrokerUnavailableError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.connection.factory import connect
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ConsumerHooks
from bizzmq.consumer.lease import Lease
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.protocol.ids import supervisor_id, worker_id
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from bizzmq.utils.stop_event import StopEvent
from bizzmq.workers import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.janitor_messages import FROM_JANITOR, Alive, Requeue, Requeued
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.worker_exit import WorkerExit
from bizzmq.workers.janitor.orphans import OrphanedWorkers
from bizzmq.workers.janitor.pending_requests import PendingRequests
from bizzmq.workers.janitor.queues import PoolQueues
from bizzmq.workers.journal.file_format import server_of
from bizzmq.workers.journal.recovery import JournalRecovery
from bizzmq.workers.journal.writer import WorkerJournal, prepare_directory
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.support.cluster import Cluster

FEW_NODES = pytest.mark.parametrize("cluster", [{"full_coverage": False, "replicas": False}], indirect=True)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, start_cluster):  # type: ignore[no-untyped-def]
    return start_cluster(**request.param)


@FEW_NODES
def test_pending_outcomes_of_each_node_survive_the_pool(cluster: Cluster, cluster_scene: Scene, tmp_path: Path) -> None:
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
    scene.ledger.wait_handled(*later, timeout_s=PATIENCE_S)  # its worker has finished other messages since
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
def test_after_a_failure_that_cannot_be_sent_the_rest_of_its_batch_is_not_run(
    cluster: Cluster, cluster_scene: Scene
) -> None:
    # Otherwise the later success would count as the last finished message and ack the failure if the worker died.
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
    Lease(broker, "s", queues).register("w")
    consumer = Consumer(
        broker, "w", queues, Handler(handler), StopEvent(), ConsumerOptions(patience_s=0.0),
        ConsumerHooks(is_orphaned=lambda: "fail" in ran),
    )  # fmt: skip
    consumer.run()

    assert ran == ["ok"] * 40 + ["fail"]


@FEW_NODES
def test_a_death_is_settled_from_the_journal_before_the_scoreboard_when_a_node_is_unavailable(
    cluster: Cluster, cluster_scene: Scene, tmp_path: Path
) -> None:
    # The scoreboard knows less about a worker on several servers: by the scoreboard alone this message would run again.
    scene, queues = cluster_scene, _queues(cluster, cluster_scene)
    broker, worker = Broker(connect(scene.url, timeout_s=1.0)), worker_id(supervisor_id(), 0)
    config = WorkerConfig(
        "tests.handlers:ok", queues=queues, concurrency=1, journal=prepare_directory(str(tmp_path / "journal"))
    )
    lease = Lease(broker, "s", queues)
    lease.register(worker)
    journal = WorkerJournal(config.journal, worker, server_of(scene.url))
    for queue in queues:
        message = scene.publish_one("finished", queue=queue)
        broker.claim(queue, worker, 1)
        journal.keep(queue, DeadWorker(DeathKind.STOPPED, last_finished=message))
    node = cluster.master_of(queues[0])
    end, up = Channel.pair()

    class UntilItIsBack(JournalRecovery):
        def settle(self, worker: str) -> Any:
            unsettled = super().settle(worker)
            node.resume()
            eventually(lambda: broker.exists(queues[0]), PATIENCE_S, ignoring=(BrokerUnavailableError,))
            return unsettled

    recovery = UntilItIsBack(config.journal, broker, server_of(scene.url), queues, set, 1.0, 1.0)
    orphans = OrphanedWorkers(config, Scoreboard(1))
    pool_queues = PoolQueues(broker, None, lambda: None)
    pending = PendingRequests(broker, lease, orphans, recovery, end, pool_queues, config)
    pending.accept(Requeue(WorkerExit(worker, DeathKind.STOPPED, running="", last_finished="", reason="ended")))

    node.pause()
    assert isinstance(pending.process(), BrokerUnavailableError)
    assert [scene.mq.stats(queue).acked for queue in queues] == [0, 1]
    assert scene.mq.stats(queues[0]).processing == 1
    assert {*up.receive(FROM_JANITOR)} == {Alive()}

    assert pending.process() is None
    assert [scene.mq.stats(queue).acked for queue in queues] == [1, 1]
    assert not list((tmp_path / "journal").iterdir())
    assert [reply for reply in up.receive(FROM_JANITOR) if reply != Alive()] == [Requeued(worker)]
    end.close()
    up.close()
    broker.connection.drop()


@FEW_NODES
def test_a_death_that_cannot_be_settled_on_one_node_does_not_delay_others(
    cluster: Cluster, cluster_scene: Scene
) -> None:
    scene = cluster_scene
    away, there = _queues(cluster, scene)
    pool = scene.pool("--lease=2", handler=HANDLER, queue=[away, there], concurrency=3)
    *gates, third = [scene.gate() for _ in range(3)]
    *messages, first = scene.publish(*[gate.body() for gate in (*gates, third)], queue=there)
    victims = [scene.ledger.wait_started(message).pid for message in messages]
    third.open()
    scene.ledger.wait_handled(
        first, timeout_s=PATIENCE_S
    )  # so the third worker has started, for which it needs both nodes
    janitor = int(re.findall(r"janitor started pid=(\d+)", pool.log())[0])

    cluster.master_of(away).pause()
    os.kill(janitor, signal.SIGSTOP)  # so that it receives both deaths at once
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    log_says(pool, "worker died", times=2)
    os.kill(janitor, signal.SIGCONT)
    for gate in gates:
        gate.open()

    for message in messages:
        scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    next(server for server in cluster.servers if server.port == cluster.home(away)).resume()
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
