"""R10: a pool's host is cut off for longer than its lease, and comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Callable, Iterator

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.paths import ROOT
from tests.support.remote_host import RemoteHost, can_have_remote_hosts, remote_host

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
SHORT_LEASE = "--lease=1"
WORK = {"do": "sleep", "sleep_s": 0.002}

pytestmark = pytest.mark.skipif(not can_have_remote_hosts(), reason="needs root and `ip netns`")


@pytest.fixture
def far() -> Iterator[RemoteHost]:
    with remote_host() as host:
        yield host


@pytest.fixture
def remote_scene(far: RemoteHost, own_scene: OwnScene) -> tuple[Scene, str]:
    """A scene, and the address of its server from the remote host."""
    server, scene = own_scene(config=[f"bind 127.0.0.1 {far.near_address}", "protected-mode no"])
    return scene, f"redis://{far.near_address}:{server.port}/0"


def test_a_host_cut_off_for_longer_than_its_lease_is_fenced_and_starts_over(
    far: RemoteHost, remote_scene: tuple[Scene, str]
) -> None:
    scene, far_url = remote_scene
    cut_off = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=3, url=far_url, via=far.command)
    gates = [scene.gate() for _ in range(3)]
    stale_outcomes = ("ok", "raise", "reject")
    messages = scene.publish(*[gate.body(outcome, "raise", "ok") for gate, outcome in zip(gates, stale_outcomes)])
    for message in messages:
        scene.ledger.wait_started(message)
    stale_ids = set(scene.registered())

    with invariants.log_rate(cut_off.log):
        cut_s = time.monotonic()
        far.cut()
        owner = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=3, ready=False)
        for message in messages:
            scene.runs_again(cut_s, message)
        for gate in gates:
            gate.open(1)  # these outcomes are never sent: one ack, one retry, one rejection
        log_says(cut_off, "Redis is unavailable")
        far.restore()
        log_says(cut_off, "lease lost", times=3)
    _is_whole(scene, cut_off, owner)

    assert not stale_ids & set(scene.registered()), "a stale worker continued under its old id"
    assert sorted(scene.held()) == sorted(messages), "the owner lost a message to a stale worker"
    for message in messages:
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    for gate in gates:
        gate.open(2)  # the owner's retry still counts
    for gate, message in zip(gates, messages):
        scene.ledger.wait_started(message, runs=3, timeout_s=PATIENCE_S)
        gate.open(3)
    scene.settle(extra_runs=6)
    assert scene.totals() == {"published": 3, "requeued": 3, "retried": 3, "acked": 3}
    _both_work(scene, cut_off, owner)
    scene.retire(owner, cut_off, tracebacks=1)


def test_a_host_cut_off_under_load_loses_nothing_and_only_its_own_messages_run_twice(
    far: RemoteHost, remote_scene: tuple[Scene, str]
) -> None:
    scene, far_url = remote_scene
    cut_off = scene.pool(SHORT_LEASE, url=far_url, via=far.command)
    owner = scene.pool(SHORT_LEASE, ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)
    stale_ids = {worker for worker in scene.registered() if f":{cut_off.supervisor_pid}:" in worker}

    with load(scene, *[WORK] * 4):
        scene.ledger.wait_for(lambda ledger: {event.pid for event in ledger.ends()} >= set(cut_off.worker_pids()))
        far.cut()
        eventually(lambda: not stale_ids & set(scene.registered()), PATIENCE_S, owner.log)
        far.restore()
        _is_whole(scene, cut_off, owner)

    # Messages that the cut-off host had claimed run elsewhere, too; the requeues show how many.
    taken = scene.totals().get("requeued", 0)
    scene.settle(extra_runs=taken)
    assert {event.fields["retry_count"] for event in scene.ledger.starts()} == {0}
    assert not stale_ids & set(scene.registered())
    scene.retire(owner, cut_off)


def test_a_cut_shorter_than_the_lease_requeues_nothing(far: RemoteHost, remote_scene: tuple[Scene, str]) -> None:
    scene, far_url = remote_scene
    cut_off = scene.pool("--lease=30", handler=HANDLER, url=far_url, via=far.command)
    other = scene.pool("--lease=30", handler=HANDLER, ready=False)
    eventually(lambda: len(scene.registered()) == 4, PATIENCE_S)
    registered = set(scene.registered())
    gates = [scene.gate() for _ in range(4)]
    for message in scene.publish(*[gate.body() for gate in gates]):
        scene.ledger.wait_started(message, timeout_s=PATIENCE_S)

    far.cut()
    for gate in gates:
        gate.open()
    log_says(cut_off, "Redis is unavailable")
    far.restore()

    scene.settle(extra_runs=0)
    assert set(scene.registered()) == registered
    scene.retire(cut_off, other)


def test_other_hosts_continue_when_one_is_cut_off(own_scene: OwnScene) -> None:
    with ExitStack() as stack:
        hosts = [stack.enter_context(remote_host()) for _ in range(3)]
        addresses = " ".join(host.near_address for host in hosts)
        server, scene = own_scene(config=[f"bind 127.0.0.1 {addresses}", "protected-mode no"])
        pools = [
            scene.pool(SHORT_LEASE, url=f"redis://{host.near_address}:{server.port}/0", via=host.command, ready=False)
            for host in hosts
        ]
        _is_whole(scene, *pools)
        lost, *kept = [{w for w in scene.registered() if f":{pool.supervisor_pid}:" in w} for pool in pools]

        with load(scene, *[WORK] * 4):
            everybody = {pid for pool in pools for pid in pool.worker_pids()}
            scene.ledger.wait_for(lambda ledger: everybody <= {event.pid for event in ledger.ends()}, PATIENCE_S)
            hosts[0].cut()
            eventually(lambda: not lost & set(scene.registered()), PATIENCE_S, pools[1].log)
            assert set().union(*kept) == set(scene.registered()), (
                "workers of another host were reaped with those of the lost host"
            )
            ended = len(scene.ledger.ends())
            scene.ledger.wait_for(lambda ledger: len(ledger.ends()) > ended + 50, PATIENCE_S, "the others to continue")
            hosts[0].restore()
            _is_whole(scene, *pools)

        scene.settle(extra_runs=scene.totals().get("requeued", 0))
        assert set().union(*kept) <= set(scene.registered())
        scene.retire(*pools)


def _is_whole(scene: Scene, *pools: Pool) -> None:
    """Whether exactly the workers of these pools are registered."""
    count = sum(pool.concurrency for pool in pools)
    eventually(lambda: len(scene.registered()) == count, PATIENCE_S, lambda: "\n".join(pool.log() for pool in pools))


def _both_work(scene: Scene, *pools: Pool) -> None:
    """Check that as many messages run at the same time as there are workers."""
    gates = [scene.gate() for pool in pools for _ in range(pool.concurrency)]
    messages = scene.publish(*[gate.body() for gate in gates])
    running = {scene.ledger.wait_started(message, timeout_s=PATIENCE_S).pid for message in messages}
    assert running == {pid for pool in pools for pid in pool.worker_pids()}
    for gate in gates:
        gate.open()
    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)


ASKS = """
import sys
from bizzmq import BizzMQ
with BizzMQ(sys.argv[1]) as mq:
    mq.create_queue("far")
    for line in sys.stdin:
        print(eval(sys.argv[2]), flush=True)
"""


@pytest.mark.usually(1)
@pytest.mark.parametrize("call", ["mq.stats('far').published", "mq.publish_message_to_queue('far', 1)[:0]"])
def test_a_silently_dropped_connection_is_replaced_within_the_call(
    far: RemoteHost, remote_scene: tuple[Scene, str], call: str
) -> None:
    """Its packets are dropped silently."""
    scene, far_url = remote_scene
    command = [*far.command, sys.executable, "-c", ASKS, far_url, call]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:

        def ask() -> str:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write("\n")
            client.stdin.flush()
            return client.stdout.readline()

        try:
            first = ask()
            far.forget()
            assert ask() == first == ask() != ""
        finally:
            client.kill()
    assert scene.mq.stats("far").published in (0, 3)
