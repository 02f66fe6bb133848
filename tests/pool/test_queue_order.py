"""Several queues: in their order, by priority, and none is starved."""

from __future__ import annotations

from bizzmq import QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually_holds
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import QUEUE, Scene

LOW = "low"


def test_the_first_queue_comes_first_and_the_second_is_not_forgotten(scene: Scene) -> None:
    scene.mq.create_queue(LOW, QueueOptions(config_dead_letter_queue=True))
    low = scene.publish(*[{"do": "ok"}] * 30, queue=LOW)
    high = scene.publish(*[{"do": "ok"}] * 30)

    pool = scene.pool(concurrency=1, queue=[QUEUE, LOW])

    scene.ledger.wait_handled(timeout_s=30.0)
    assert [event.id for event in scene.ledger.starts()] == high + low
    for queue in (QUEUE, LOW):
        eventually_holds(lambda: invariants.check_at_rest(scene.redis, queue))  # noqa: B023 - waited for here
    assert (scene.mq.stats(QUEUE).acked, scene.mq.stats(LOW).acked) == (30, 30)
    pool.signal(15)
    scene.gone(pool)


def test_a_new_message_of_the_first_queue_is_next(scene: Scene) -> None:
    scene.mq.create_queue(LOW, QueueOptions())
    gate = scene.gate()
    first, second = scene.publish(gate.body(), scene.gate().body(), queue=LOW)
    pool = scene.pool("--prefetch=1", concurrency=1, queue=[QUEUE, LOW], handler=HANDLER)
    scene.ledger.wait_started(first)

    urgent = scene.publish_one(scene.gate().body())
    gate.open()

    scene.ledger.wait_started(urgent)
    assert not scene.ledger.runs_of(second)
    assert scene.held() == [urgent]
    assert pool.exit_code is None


def test_a_missing_queue_is_created_with_a_dead_letter_queue_and_logged(scene: Scene) -> None:
    pool = scene.pool(queue=["brand-new"])

    assert "queue did not exist and was created queue=brand-new dead_letter_queue=True" in pool.log()
    message = scene.publish_one({"do": "raise"}, queue="brand-new", retries=0)
    scene.ledger.wait_for(lambda ledger: message in {event.id for event in ledger.ends()})
    eventually_holds(lambda: invariants.check_at_rest(scene.redis, "brand-new", dead_lettered=1))
