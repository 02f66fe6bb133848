"""R14 and R15: slots move between the nodes of a cluster under load, masters die, and a single node is unavailable."""

from __future__ import annotations

import time
from functools import partial

import pytest

from bizzmq import BrokerUnavailableError, MessageOptions, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.cluster.connection import ClusterConnection
from bizzmq.connection.factory import connect
from bizzmq.protocol.keys import type_of
from bizzmq.publisher import confirms
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.cluster.confirmed import ConfirmedPublisher, at_stake, back_after_s, confirmed_load, settle, wait_for_runs
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.cluster import Cluster
from tests.support.wrong_type import wrong_type

WORK = {"do": "sleep", "sleep_s": 0.005}
BACK_AFTER_FAILOVER_S = 15.0
FAILING = 5


def test_slots_that_move_under_load_lose_and_repeat_nothing(cluster: Cluster, cluster_scene: Scene) -> None:
    scene = cluster_scene
    pool = scene.pool()
    source = cluster.master_of(QUEUE)
    others = [server for server in cluster.servers[:3] if server is not source]
    scene.publish({"do": "ok"}, delay_s=5.0)
    scene.publish({"do": "reject"})
    scene.publish(*[{"do": "raise", "times": 1}] * FAILING)

    with load(scene, WORK, WORK):
        wait_for_runs(scene.ledger)
        for target in [*others, source]:
            cluster.move(QUEUE, target)
            moved_s = time.monotonic()
            assert cluster.master_of(QUEUE) is target
            back_s = back_after_s(scene.ledger, moved_s)
            scene.figures.recovered(back_s)
            print(f"a new message ran {back_s:.2f} s after the slot had arrived")  # noqa: T201 - for pytest's report
            wait_for_runs(scene.ledger)

    scene.settle(dead_lettered=1, extra_runs=FAILING)
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    scene.retire(pool, tracebacks=1)


def test_a_confirmation_for_a_moved_slot_is_requested_again(cluster: Cluster, cluster_scene: Scene) -> None:
    level = confirms.level_of("replicas:1")
    assert level is not None
    broker = Broker(connect(cluster_scene.url))
    publisher = Publisher(broker, retry_for_s=0.2)
    publish = partial(broker.publish, QUEUE, "nonce", 1, 0, 0, [b"m1", b"1\n1"])
    source = cluster.master_of(QUEUE)
    target = next(server for server in cluster.servers[:3] if server is not source)
    reported: list[BrokerUnavailableError] = []

    def publish_meanwhile() -> None:
        try:
            publisher.publish(QUEUE, ["while it moves"], MessageOptions(confirm="replicas:1"))
        except BrokerUnavailableError as error:
            reported.append(error)

    publish()
    cluster.move(QUEUE, target, publish_meanwhile)
    broker.connection.drop()
    publish()
    cluster.move(QUEUE, source)
    with pytest.raises(BrokerUnavailableError, match="the queue is moving to another node"):
        confirms.wait(broker, QUEUE, "nonce", 1, level)

    assert reported, "nothing was published while keys were moved"
    publish()
    assert confirms.wait(broker, QUEUE, "nonce", 1, level) == 1
    assert publisher.publish(QUEUE, ["at rest"], MessageOptions(confirm="replicas:1"))
    publisher.close()


@pytest.mark.usually(1)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_killed_master_loses_nothing_confirmed_and_may_return(
    cluster: Cluster, cluster_scene: Scene, fault: str
) -> None:
    scene = cluster_scene
    pool = scene.pool()
    old = cluster.master_of(QUEUE)

    with confirmed_load(scene, WORK, WORK):
        wait_for_runs(scene.ledger)
        fault_s = time.monotonic()
        getattr(old, fault)()
        cluster.wait_failed_over(QUEUE, old)
        failover_s = time.monotonic() - fault_s
        back_s = back_after_s(scene.ledger, fault_s)
        scene.figures.recovered(max(0.0, back_s - failover_s))  # some may know the new master before all agree on it
        repeated_at_most = at_stake(scene.ledger, fault_s)
        wait_for_runs(scene.ledger)
        old.resume() if fault == "pause" else old.start()
        cluster.wait_replicates()
        wait_for_runs(scene.ledger)

    print(f"{fault}: failed over after {failover_s:.2f} s, a new message ran after {back_s:.2f} s")  # noqa: T201 - for pytest's report
    assert back_s < failover_s + BACK_AFTER_FAILOVER_S
    assert cluster.master_of(QUEUE) is not old
    settle(scene, extra_runs=repeated_at_most)
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    scene.retire(pool)


@pytest.mark.parametrize("queues", [1, 3])
@pytest.mark.usually(1)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_an_idle_pool_finds_the_new_master_by_itself(
    cluster: Cluster, cluster_scene: Scene, fault: str, queues: int
) -> None:
    scene = cluster_scene
    names = [QUEUE, *(name for name in cluster.names_on_each_node() if cluster.home(name) != cluster.home(QUEUE))]
    pool = scene.pool(queue=names[:queues])
    publisher = ConfirmedPublisher(scene.url, scene.ledger)
    old = cluster.master_of(QUEUE)

    getattr(old, fault)()
    cluster.wait_failed_over(QUEUE, old)
    failed_over_s = time.monotonic()
    publisher.publish({"do": "ok"})
    publisher.close()

    back_s = back_after_s(scene.ledger, failed_over_s)
    scene.figures.recovered(back_s)
    print(f"{fault}: ran {back_s:.2f} s after the failover")  # noqa: T201 - for pytest's report
    settle(scene, extra_runs=0)
    # A failover between two of the janitor's heartbeats is no outage for it.
    eventually(
        lambda: outages(pool, "retrying who=janitor") == outages(pool, "again who=janitor"), PATIENCE_S, pool.log
    )
    scene.retire(pool)


def outages(pool: Pool, text: str) -> int:
    """How often the log says so of Redis."""
    return len([line for line in pool.log().splitlines() if " Redis is " in line and text in line])


def test_errors_on_a_borrowed_connection_are_recorded_too(cluster: Cluster) -> None:
    connection, key = ClusterConnection(cluster.url, timeout_s=1.0), Keys(QUEUE).stats
    try:
        connection.execute("HSET", key, "n", 1)
        old = cluster.master_of(QUEUE)
        old.pause()
        cluster.wait_failed_over(QUEUE, old)

        with pytest.raises(BrokerUnavailableError):
            connection.at(key).execute("PING")

        connection.execute("HSET", key, "n", 2)  # the next command finds the new master without a second failure
    finally:
        connection.drop()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, start_cluster):  # type: ignore[no-untyped-def]
    """A cluster; parametrize it indirectly with options."""
    return start_cluster(**getattr(request, "param", {}))


@pytest.mark.parametrize("cluster", [{"full_coverage": False, "replicas": False}], indirect=True)
def test_an_unavailable_node_stops_only_its_own_queues(cluster: Cluster, cluster_scene: Scene) -> None:
    scene = cluster_scene
    away, there, _ = cluster.names_on_each_node()
    for name in (away, there):
        scene.mq.create_queue(name, QueueOptions(config_dead_letter_queue=True))
    pool = scene.pool("--lease=2", handler=HANDLER, queue=[away, there], concurrency=1)
    gate, opened = scene.gate(), scene.gate()
    opened.open()
    first = scene.publish_one(gate.body(), queue=away)
    scene.ledger.wait_started(first)

    cluster.master_of(away).pause()
    gate.open()  # its ack cannot be sent now
    on_the_other = scene.publish(*[opened.body()] * 20, queue=there)
    scene.ledger.wait_handled(*on_the_other, timeout_s=PATIENCE_S)
    log_says(pool, f"on {away}")
    for message in range(3):  # also while it is idle in between
        scene.ledger.wait_handled(scene.publish_one(opened.body(message=message), queue=there), timeout_s=PATIENCE_S)
    invariants.check_nothing_stranded(cluster.at(there), there)  # type: ignore[arg-type]
    paused = next(server for server in cluster.servers if server.port == cluster.home(away))
    paused.resume()

    last = scene.publish_one(opened.body(), queue=away)
    scene.ledger.wait_handled(last, first, timeout_s=PATIENCE_S)
    for name in (away, there):
        eventually(lambda: not scene.mq.stats(name).processing, PATIENCE_S)  # noqa: B023
        invariants.check_at_rest(cluster.at(name), name)  # type: ignore[arg-type]
        invariants.check_nothing_stranded(cluster.at(name), name)  # type: ignore[arg-type]
    invariants.check_duplicates(scene.ledger, 0)
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("name", ["meta", "waiting", "messages", "stats", "wake"])
@pytest.mark.parametrize("cluster", [{"replicas": False}], indirect=True)
def test_a_wrong_type_stops_only_its_own_queue_until_it_is_repaired(
    cluster: Cluster, cluster_scene: Scene, name: str
) -> None:
    scene = cluster_scene
    broken, sound, _ = cluster.names_on_each_node()
    for queue in (broken, sound):
        scene.mq.create_queue(queue, QueueOptions(config_dead_letter_queue=True))
    pool = scene.pool("--lease=2", handler=HANDLER, queue=[broken, sound], concurrency=1)
    gate = scene.gate()
    key = getattr(Keys(broken), name)
    running = scene.publish_one(gate.body(), queue=sound)  # the options of the broken queue have not been read yet
    scene.ledger.wait_started(running)
    waits = scene.publish_one(gate.body(), queue=broken)

    with wrong_type(cluster.at(broken), key):
        gate.open()
        for number in range(3):  # the worker is also idle in between
            others = scene.publish(*[gate.body(number=number)] * 5, queue=sound)
            scene.ledger.wait_handled(*others, timeout_s=PATIENCE_S)
        log_says(pool, f"key '{key}' of queue '{broken}' is a string, not a {type_of(key)}")
        if name in (
            "messages",
            "waiting",
        ):  # otherwise messages are found by polling, and run with the last options that were read
            assert waits not in scene.ledger.handled()

    scene.ledger.wait_handled(waits, running, timeout_s=PATIENCE_S)
    scene.ledger.wait_handled(scene.publish_one(gate.body(), queue=broken), timeout_s=PATIENCE_S)
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    for queue in (broken, sound):
        eventually(lambda: not scene.mq.stats(queue).processing, PATIENCE_S)  # noqa: B023
        invariants.check_at_rest(cluster.at(queue), queue)  # type: ignore[arg-type]
        invariants.check_nothing_stranded(cluster.at(queue), queue)  # type: ignore[arg-type]
    scene.retire(pool)


@pytest.mark.parametrize("cluster", [{"replicas": False}], indirect=True)
def test_a_burst_waits_for_a_queue_with_a_wrong_type_and_works_on_the_others(
    cluster: Cluster, cluster_scene: Scene
) -> None:
    scene = cluster_scene
    broken, sound, _ = cluster.names_on_each_node()
    for queue in (broken, sound):
        scene.mq.create_queue(queue)
    gate, opened = scene.gate(), scene.gate()
    opened.open()
    first = scene.publish_one(gate.body(), queue=sound)  # first: a burst that finds no message ends
    pool = scene.pool("--burst", handler=HANDLER, queue=[broken, sound], concurrency=1, ready=False)
    scene.ledger.wait_started(first)

    with wrong_type(cluster.at(broken), Keys(broken).waiting):
        gate.open()
        scene.ledger.wait_handled(first, scene.publish_one(opened.body(), queue=sound), timeout_s=PATIENCE_S)
        log_says(pool, f"of queue '{broken}' is a string")
        assert pool.exit_code is None

    scene.gone(pool)
