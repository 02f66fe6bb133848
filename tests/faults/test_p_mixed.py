"""Messages of very different length on one queue: none waits behind a long one, and none runs twice for that."""

from __future__ import annotations

import os
import signal

from bizzmq.testing.wait import eventually
from tests.faults.gated import HANDLER
from tests.faults.scene import PATIENCE_S, Scene

SHORT = 40


def _warm_up(scene: Scene) -> None:
    """Let both workers find out that they may claim many."""
    scene.publish(*[scene_body(scene)] * 2000)
    scene.settle()


def scene_body(scene: Scene) -> object:
    """A message that is handled at once."""
    gate = scene.gate()
    gate.open()
    return gate.body()


def test_what_is_claimed_behind_a_long_message_is_handled_by_others_meanwhile(scene: Scene) -> None:
    pool = scene.pool("--log-level=debug", concurrency=2, handler=HANDLER)
    _warm_up(scene)
    gate, short = scene.gate(), scene_body(scene)

    long, *others = scene.publish(gate.body(), *[short] * SHORT)

    eventually(lambda: set(others) <= scene.ledger.handled(), PATIENCE_S, "all that is short to be handled")
    assert scene.held() == [long]
    gate.open()
    scene.settle(extra_runs=0)
    scene.retire(pool)


def test_what_was_given_back_is_not_blamed_on_a_worker_that_dies_over_the_long_one(scene: Scene) -> None:
    pool = scene.pool(concurrency=2, handler=HANDLER)
    _warm_up(scene)
    gate, short = scene.gate(), scene_body(scene)

    long, *others = scene.publish(gate.body(), *[short] * SHORT)
    eventually(lambda: set(others) <= scene.ledger.handled(), PATIENCE_S, "all that is short to be handled")
    os.kill(scene.ledger.wait_started(long).pid, signal.SIGKILL)
    gate.open()

    scene.settle(extra_runs=1)
    scene.retire(pool)


def test_giving_back_again_and_again_makes_no_message_run_twice(scene: Scene) -> None:
    pool = scene.pool("--log-level=debug", concurrency=3)
    bodies = [{"do": "sleep", "sleep_s": 0.06 if number % 40 == 20 else 0.0002} for number in range(4000)]

    scene.publish(*bodies)

    scene.settle(extra_runs=0, timeout_s=60.0)
    assert "messages behind a long one given back" in pool.log()
    scene.retire(pool)
