"""Short and long messages on one queue: none waits behind a long one, and none runs twice because of that."""

from __future__ import annotations

import os
import signal

from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, Scene

SHORT = 40


def _warm_up(scene: Scene) -> None:
    """Let the adaptive prefetch of both workers grow."""
    scene.publish(*[scene_body(scene)] * 2000)
    scene.settle()


def scene_body(scene: Scene) -> object:
    """The body of a message that is handled at once."""
    gate = scene.gate()
    gate.open()
    return gate.body()


def test_messages_claimed_behind_a_long_one_are_handled_by_other_workers(scene: Scene) -> None:
    pool = scene.pool("--log-level=debug", concurrency=2, handler=HANDLER)
    _warm_up(scene)
    gate, short = scene.gate(), scene_body(scene)

    long, *others = scene.publish(gate.body(), *[short] * SHORT)

    eventually(lambda: set(others) <= scene.ledger.handled(), PATIENCE_S, "all short messages to be handled")
    assert scene.held() == [long]
    gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_released_messages_are_not_blamed_when_the_worker_dies_in_the_long_one(scene: Scene) -> None:
    pool = scene.pool(concurrency=2, handler=HANDLER)
    _warm_up(scene)
    gate, short = scene.gate(), scene_body(scene)

    long, *others = scene.publish(gate.body(), *[short] * SHORT)
    eventually(lambda: set(others) <= scene.ledger.handled(), PATIENCE_S, "all short messages to be handled")
    os.kill(scene.ledger.wait_started(long).pid, signal.SIGKILL)
    gate.open()

    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_repeated_releases_make_no_message_run_twice(scene: Scene) -> None:
    pool = scene.pool("--log-level=debug", concurrency=3)
    bodies = [{"do": "sleep", "sleep_s": 0.06 if number % 40 == 20 else 0.0002} for number in range(4000)]

    scene.publish(*bodies)

    scene.settle(extra_runs=0, timeout_s=60.0)
    assert "messages behind a long one given back" in pool.log()
    scene.retire(pool)
