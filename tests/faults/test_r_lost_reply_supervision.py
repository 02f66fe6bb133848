"""R8: Redis executes a request of a supervisor's janitor, and the reply is lost."""

from __future__ import annotations

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, snapshot
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually
from tests.faults.conftest import Lose
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene


@pytest.mark.parametrize("script", ["requeue", "register"])
def test_a_lost_reply_about_a_dead_worker_or_its_successor_blames_once(
    scene: Scene, proxy: Proxy, lose: Lose, script: str
) -> None:
    pool = scene.pool(url=proxy.url, concurrency=1, handler=HANDLER)
    gate = scene.gate()
    message = scene.publish_one(gate.body("kill_self", "ok"))
    scene.ledger.wait_started(message)
    lost = lose(script)

    gate.open(1)

    lost.wait(PATIENCE_S)
    scene.ledger.wait_started(message, runs=2, timeout_s=PATIENCE_S)
    invariants.check_blame(scene.redis, QUEUE, message, crashes=1, requeues=0)
    gate.open(2)
    scene.settle(extra_runs=1)
    assert len(scene.registered()) == 1
    assert scene.totals() == {"published": 1, "acked": 1, "requeued": 1}
    scene.retire(pool)


def test_a_lost_reply_to_create_creates_a_complete_queue(scene: Scene, proxy: Proxy, lose: Lose) -> None:
    lost = lose("create")

    pool = scene.pool(url=proxy.url, queue="fresh")

    assert lost.happened.is_set()
    assert scene.redis.sismember("bizzmq:queues", "fresh")
    assert scene.redis.exists(Keys("fresh").meta, Keys("fresh_dlq").meta) == 2
    assert {len(view.supervisors) for view in snapshot(scene.redis, "fresh")} == {0, 1}
    message = scene.mq.publish_message_to_queue("fresh", {"do": "ok"})
    scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)
    scene.retire(pool)


@pytest.mark.usually(2)
@pytest.mark.parametrize("nth", [1, 2, 3], ids=["supervisor", "first worker", "second worker"])
def test_a_lost_reply_to_register_registers_once(scene: Scene, proxy: Proxy, lose: Lose, nth: int) -> None:
    lost = lose("register", nth)

    pool = scene.pool(url=proxy.url)

    lost.wait(PATIENCE_S)
    scene.ledger.wait_handled(scene.publish_one({"do": "ok"}), timeout_s=PATIENCE_S)
    main, _ = snapshot(scene.redis, QUEUE)
    assert (len(main.supervisors), len(main.workers)) == (1, 2)
    scene.settle()
    scene.retire(pool)


@pytest.mark.parametrize("script", ["heartbeat", "unregister"])
def test_a_lost_reply_to_a_supervisor_changes_nothing(scene: Scene, proxy: Proxy, lose: Lose, script: str) -> None:
    pool = scene.pool("--lease=1", url=proxy.url)
    scene.publish_one({"do": "ok"})
    registered = scene.registered()
    lost = lose(script)

    if script == "heartbeat":
        lost.wait(PATIENCE_S)
        before = _beats(scene)
        eventually(lambda: _beats(scene) > before, PATIENCE_S)
        assert scene.registered() == registered
    scene.settle()
    scene.retire(pool)
    assert lost.happened.is_set()


def _beats(scene: Scene) -> int:
    """The heartbeat counter of the only supervisor."""
    (counter,) = scene.redis.hvals(Keys(QUEUE).supervisors)
    return int(counter)
