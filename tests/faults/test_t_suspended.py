"""T3: a whole pool is suspended for several leases, as with its machine: it checks ownership before it acts."""

from __future__ import annotations

import signal
import time

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import snapshot
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

SHORT_LEASE = "--lease=1"
SUSPENDED_S = 3.0
"""Three leases."""
LIMIT_S = 4.0


def test_a_pool_suspended_alone_continues_without_any_loss(scene: Scene) -> None:
    pool = scene.pool(SHORT_LEASE, handler=HANDLER)
    registered = scene.registered()
    gates = {action: scene.gate() for action in ("ok", "raise")}
    for action, gate in gates.items():
        scene.ledger.wait_started(scene.publish_one(gate.body(action, "ok")))
    opened = scene.gate()
    opened.open()
    scene.publish(*[opened.body()] * 20)

    pool.signal_all(signal.SIGSTOP)
    time.sleep(SUSPENDED_S)  # how long the fault lasts
    scene.publish(*[opened.body()] * 20)
    pool.signal_all(signal.SIGCONT)
    for gate in gates.values():
        gate.open()

    scene.settle(extra_runs=1)
    assert scene.totals() == {"published": 42, "acked": 42, "retried": 1}
    assert scene.registered() == registered
    assert "lease lost" not in pool.log()
    assert pool.log().count("janitor started") == 1
    scene.retire(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("stale_outcome", ["reject", "retry_later", "kill_self"])
def test_the_outcome_of_a_suspended_pool_for_a_requeued_message_changes_nothing(
    scene: Scene, stale_outcome: str
) -> None:
    """In addition to ok and raise, which are in test_p_lease.py."""
    stale = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body(stale_outcome, "ok"))
    scene.ledger.wait_started(message)
    stale_ids = set(scene.registered())

    stale.signal_all(signal.SIGSTOP)
    owner = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1, ready=False)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    gate.open(1)
    stale.signal_all(signal.SIGCONT)
    eventually(lambda: len(scene.registered()) == 2 and not stale_ids & set(scene.registered()), PATIENCE_S, stale.log)
    _works_again(scene, stale)

    assert message in scene.held(), "the owner lost its message to a stale worker"
    assert not snapshot(scene.redis, QUEUE)[1].messages
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    gate.open(2)
    scene.settle(extra_runs=1)
    scene.retire(owner, stale, tracebacks=1)


def test_a_time_limit_that_passed_meanwhile_does_not_affect_a_requeued_message(scene: Scene) -> None:
    stale = scene.pool(SHORT_LEASE, f"--timeout={LIMIT_S}", "--timeout-grace=0.1", handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body())
    started_s = scene.ledger.wait_started(message).start.time_s

    stale.signal_all(signal.SIGSTOP)
    owner = scene.pool(SHORT_LEASE, handler=HANDLER, concurrency=1, ready=False)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    eventually(lambda: time.monotonic() > started_s + LIMIT_S, PATIENCE_S)
    stale.signal_all(signal.SIGCONT)
    eventually(lambda: len(stale.started_worker_pids()) == 2, PATIENCE_S, stale.log)
    _works_again(scene, stale)

    assert message in scene.held(), "the owner lost its message to a stale supervisor"
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    gate.open()
    scene.settle(extra_runs=1)
    scene.retire(owner, stale, tracebacks=1)


def _works_again(scene: Scene, stale: Pool) -> None:
    """The pool runs messages again, so it has sent its outcome for the old one."""
    gate = scene.gate()
    gate.open()
    fresh = scene.publish_one(gate.body())
    assert scene.ledger.wait_started(fresh, timeout_s=PATIENCE_S).pid in stale.started_worker_pids()
    scene.ledger.wait_handled(fresh)
