"""One node of a cluster is away with what its queue is owed, and the worker or the whole pool dies meanwhile."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from bizzmq import BrokerUnavailableError, QueueOptions
from bizzmq.broker import Broker
from bizzmq.connections import connect
from bizzmq.consumer import Consumer
from bizzmq.handler import Handler
from bizzmq.ids import supervisor_id, worker_id
from bizzmq.lease import LeaseKeeper
from bizzmq.loop import ConsumerOptions
from bizzmq.record import Record
from bizzmq.registry import Death
from bizzmq.stop import Stop
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from bizzmq.workers import WorkerConfig
from bizzmq.workers.channel import Channel
from bizzmq.workers.journal import WorkerJournal, prepared
from bizzmq.workers.journal_file import server_of
from bizzmq.workers.leftovers import Leftovers
from bizzmq.workers.owed import Owed
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.undertaker import Undertaker
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


@FEW_NODES
def test_a_queue_whose_node_is_away_hears_of_a_death_by_the_journal_first(
    cluster: Cluster, cluster_scene: Scene, tmp_path: Path
) -> None:
    # What the scoreboard knows of a worker on several servers is less: by that, this message would run again.
    scene, queues = cluster_scene, _queues(cluster, cluster_scene)
    broker, worker = Broker(connect(scene.url, timeout_s=1.0)), worker_id(supervisor_id(), 0)
    config = WorkerConfig(
        "tests.handlers:ok", queues=queues, concurrency=1, journal=prepared(str(tmp_path / "journal"))
    )
    keeper = LeaseKeeper(broker, "s", queues)
    keeper.register(worker)
    journal = WorkerJournal(config.journal, worker, server_of(scene.url))
    for queue in queues:
        message = scene.publish_one("finished", queue=queue)
        broker.claim(queue, worker, 1)
        journal.keep(queue, Death("stopped", last_finished=message))
    node = cluster.master_of(queues[0])
    end, up = Channel.pair()

    class UntilItIsBack(Leftovers):
        def settle(self, worker: str) -> Any:
            unsettled = super().settle(worker)
            node.resume()
            eventually(lambda: broker.exists(queues[0]), PATIENCE_S, ignoring=(BrokerUnavailableError,))
            return unsettled

    leftovers = UntilItIsBack(config.journal, broker, server_of(scene.url), queues, set, 1.0, 1.0)
    undertaker = Undertaker(config, Scoreboard(1))
    owed = Owed(broker, keeper, undertaker, leftovers, end, queues, config.max_crashes)
    owed.accept({"op": "requeue", "worker": worker, "what": "stopped", "queue": "", "running": "", "last_finished": ""})

    node.pause()
    assert isinstance(owed.pay(), BrokerUnavailableError)
    assert [scene.mq.stats(queue).acked for queue in queues] == [0, 1]
    assert scene.mq.stats(queues[0]).processing == 1
    assert {said["op"] for said in up.receive()} == {"alive"}

    assert owed.pay() is None
    assert [scene.mq.stats(queue).acked for queue in queues] == [1, 1]
    assert not list((tmp_path / "journal").iterdir())
    assert [said["op"] for said in up.receive() if said["op"] != "alive"] == ["requeued"]
    end.close()
    up.close()
    broker.connection.drop()


@FEW_NODES
def test_a_death_that_cannot_be_told_to_one_node_holds_up_no_other_one(cluster: Cluster, cluster_scene: Scene) -> None:
    scene = cluster_scene
    away, there = _queues(cluster, scene)
    pool = scene.pool("--lease=2", handler=HANDLER, queue=[away, there], concurrency=3)
    *gates, third = [scene.gate() for _ in range(3)]
    *messages, first = scene.publish(*[gate.body() for gate in (*gates, third)], queue=there)
    victims = [scene.ledger.wait_started(message).pid for message in messages]
    third.open()
    scene.ledger.wait_handled(
        first, timeout_s=PATIENCE_S
    )  # so the third worker has begun, for which it needs both nodes
    janitor = int(re.findall(r"janitor started pid=(\d+)", pool.log())[0])

    cluster.master_of(away).pause()
    os.kill(janitor, signal.SIGSTOP)  # so that both deaths come to it at once
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
