"""R11, R12 and R13: Sentinel fails over with and without load, and the old master returns."""

from __future__ import annotations

import time

import pytest

from bizzmq.testing.wait import eventually
from tests.cluster.confirmed import (
    UNSURE,
    ConfirmedPublisher,
    at_stake,
    back_after_s,
    confirmed_load,
    settle,
    wait_for_runs,
)
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, Scene
from tests.support.sentinels import SentinelGroup, replication, role

WORK = {"do": "sleep", "sleep_s": 0.005}
BACK_AFTER_FAILOVER_S = 15.0


@pytest.mark.usually(1)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_failover_under_load_loses_nothing_confirmed_and_the_old_master_may_return(
    sentinel_group: SentinelGroup, sentinel_scene: Scene, fault: str
) -> None:
    scene = sentinel_scene
    pool = scene.pool()
    old = sentinel_group.master()

    with confirmed_load(scene, WORK, WORK):
        wait_for_runs(scene.ledger)
        fault_s = time.monotonic()
        getattr(old, fault)()
        new = sentinel_group.wait_failed_over(old)
        failover_s = time.monotonic() - fault_s
        back_s = back_after_s(scene.ledger, fault_s)
        scene.figures.recovered(max(0.0, back_s - failover_s))  # some may know the new master before all agree on it
        repeated_at_most = at_stake(scene.ledger, fault_s)
        wait_for_runs(scene.ledger)
        old.resume() if fault == "pause" else old.start()  # and still considers itself the master
        sentinel_group.wait_replicates()
        wait_for_runs(scene.ledger)

    print(f"{fault}: failed over after {failover_s:.2f} s, a new message ran after {back_s:.2f} s")  # noqa: T201 - for pytest's report
    assert back_s < failover_s + BACK_AFTER_FAILOVER_S
    assert sentinel_group.master() is new
    assert role(old) == "slave"
    settle(scene, extra_runs=repeated_at_most)
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_an_idle_pool_finds_the_new_master_by_itself(
    sentinel_group: SentinelGroup, sentinel_scene: Scene, fault: str
) -> None:
    scene = sentinel_scene
    pool = scene.pool()
    publisher = ConfirmedPublisher(scene.url, scene.ledger)
    old = sentinel_group.master()

    getattr(old, fault)()
    sentinel_group.wait_failed_over(old)
    failed_over_s = time.monotonic()
    publisher.publish({"do": "ok"})
    publisher.close()

    back_s = back_after_s(scene.ledger, failed_over_s)
    scene.figures.recovered(back_s)
    assert back_s < BACK_AFTER_FAILOVER_S
    settle(scene, extra_runs=0)
    scene.retire(pool)


def test_a_running_message_is_acked_at_the_new_master(sentinel_group: SentinelGroup, sentinel_scene: Scene) -> None:
    scene = sentinel_scene
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    scene.ledger.wait_started(scene.publish_one(gate.body()))
    old = sentinel_group.master()
    replica = sentinel_group.replica()
    eventually(lambda: replication(replica)["slave_repl_offset"] == replication(old)["master_repl_offset"], PATIENCE_S)

    old.kill()
    sentinel_group.wait_failed_over(old)
    failed_over_s = time.monotonic()
    gate.open()
    scene.works_again(failed_over_s, lambda: scene.totals().get("acked"))

    settle(scene, extra_runs=0)
    assert scene.totals() == {"published": 1, "acked": 1}
    scene.retire(pool)


def test_clients_leave_a_demoted_master_at_once(sentinel_group: SentinelGroup, sentinel_scene: Scene) -> None:
    # No connection breaks here: blocked clients get UNBLOCKED, and writes get READONLY.
    scene = sentinel_scene
    pool = scene.pool()
    old = sentinel_group.master()

    with confirmed_load(scene, WORK):
        wait_for_runs(scene.ledger)
        fault_s = time.monotonic()
        eventually(lambda: sentinel_group.sentinels[0].ask("SENTINEL", "FAILOVER", "mymaster"), PATIENCE_S)
        sentinel_group.wait_failed_over(old)
        back_s = back_after_s(scene.ledger, time.monotonic())
        scene.figures.recovered(back_s)
        repeated_at_most = at_stake(scene.ledger, fault_s)
        wait_for_runs(scene.ledger)

    assert back_s < BACK_AFTER_FAILOVER_S
    sentinel_group.wait_replicates()
    settle(scene, extra_runs=repeated_at_most)
    scene.retire(pool)


def test_only_messages_unconfirmed_over_a_stalled_link_may_be_lost(
    sentinel_group: SentinelGroup, sentinel_scene: Scene
) -> None:
    scene = sentinel_scene
    publisher = ConfirmedPublisher(scene.url, scene.ledger)
    confirmed = [publisher.publish({"n": n}) for n in range(20)]
    old, replica = sentinel_group.master(), sentinel_group.replica()

    replica.pause()
    unconfirmed = [publisher.publish({"n": n}) for n in range(3)]
    old.kill()
    replica.resume()
    sentinel_group.wait_failed_over(old)
    publisher.publish({"n": "after"})
    publisher.close()
    pool = scene.pool()

    assert all(confirmed)
    assert not any(unconfirmed)
    settle(scene, extra_runs=0)
    handled = scene.ledger.handled()
    assert set(scene.ledger.published()) <= handled
    assert len(handled & {event.id for event in scene.ledger.events(UNSURE)}) <= 4
    scene.retire(pool)


def test_sentinels_are_asked_in_order_until_one_answers(sentinel_group: SentinelGroup, sentinel_scene: Scene) -> None:
    scene = sentinel_scene
    sentinel_group.sentinels[0].kill()
    sentinel_group.sentinels[1].pause()

    pool = scene.pool()
    message = scene.publish_one({"do": "ok"})

    scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)
    sentinel_group.sentinels[1].resume()
    scene.settle()
    scene.retire(pool)
