"""P15: a message that kills every worker that runs it."""

from __future__ import annotations

import random

import pytest

from bizzmq import QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of, snapshot
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

DEAD = f"{QUEUE}_dlq"


@pytest.mark.usually(1)
@pytest.mark.parametrize("has_dead_letter_queue", [True, False])
def test_poison_among_a_thousand_is_quarantined_and_all_others_are_handled(
    scene: Scene, rng: random.Random, has_dead_letter_queue: bool
) -> None:
    if not has_dead_letter_queue:
        scene.redis.flushall()
        scene.mq.create_queue(QUEUE, QueueOptions())
    bodies = [{"do": "ok", "n": number} for number in range(1_000)]
    place = rng.randrange(1_000)
    bodies.insert(place, {"do": "kill_self"})
    poison = scene.publish(*bodies)[place]

    pool = scene.pool()

    scene.settle(dead_lettered=1, extra_runs=2)
    assert len(scene.ledger.handled()) == 1_000
    assert [run.delivery for run in scene.ledger.runs_of(poison)] == [1, 2, 3]
    assert len({run.pid for run in scene.ledger.runs_of(poison)}) == 3
    assert {event.fields["retry_count"] for event in scene.ledger.starts()} == {0}
    _check_record(scene, poison)
    log_says(pool, "message quarantined")
    stats = scene.mq.stats(QUEUE)
    assert (stats.acked, stats.dead_lettered, stats.discarded, stats.retried) == (1_000, 1, 0, 0)
    scene.retire(pool)


def _check_record(scene: Scene, poison: str) -> None:
    stored = envelope_of(scene.redis, DEAD, poison)
    assert stored.body == {"do": "kill_self"}
    assert stored.error is not None
    assert (stored.error["error_type"], stored.error["crash_count"]) == ("WorkerCrashed", 3)
    assert stored.error["queue"] == QUEUE
    assert "died 3 times" in stored.error["error"]
    assert "SIGKILL" in stored.error["error"]
    assert all(stored.error[name] for name in ("failed_at", "host", "worker"))
    invariants.check_blame(scene.redis, DEAD, poison)


def test_poison_in_a_dead_letter_queue_is_parked_there_and_never_lost(scene: Scene) -> None:
    poison = scene.publish_one({"do": "kill_self"})
    pool = scene.pool("--max-crashes=2", queue=[QUEUE, DEAD])

    scene.ledger.wait_started(poison, runs=4, timeout_s=PATIENCE_S)

    scene.settle(dead_lettered=1, extra_runs=3)
    innocent = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(innocent)
    assert len(scene.ledger.runs_of(poison)) == 4, "parked poison ran again"
    scene.retire(pool)


def test_the_cause_of_a_dead_letter_is_kept_when_it_kills_workers_there(scene: Scene) -> None:
    letter = scene.publish_one({"do": "kill_self"}, retries=0)
    stop = scene.mq.consume_message_from_queue(QUEUE, _refuse)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1)
    stop()

    pool = scene.pool("--max-crashes=2", queue=DEAD)
    eventually(lambda: snapshot(scene.redis, QUEUE)[1].parked == [letter], PATIENCE_S, pool.log)

    error = envelope_of(scene.redis, DEAD, letter).error
    assert error is not None
    assert (error["error_type"], error["error"]) == ("ValueError", "the first cause")
    assert "WorkerCrashed" in str(error["handler_error"])
    scene.settle(dead_lettered=1, extra_runs=1)


def _refuse(body: object) -> None:
    raise ValueError("the first cause")
