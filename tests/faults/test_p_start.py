"""P9: SIGTERM at any moment of a pool's start."""

from __future__ import annotations

import signal
import time

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene

BEFORE_THE_PROGRAM = -signal.SIGTERM
"""The exit status that a shell shows as 143: the signal came before the pool handled signals."""


@pytest.mark.usually(4, every=3)
@pytest.mark.parametrize("offset_ms", [0, 20, 50, 100, 150, 200, 250, 300, 400, 500])
def test_sigterm_at_a_time_after_the_start_leaves_nothing_behind(scene: Scene, offset_ms: int) -> None:
    message = scene.publish_one({"do": "ok"})
    pool = scene.pool(ready=False)

    time.sleep(offset_ms / 1000)  # not a synchronization: any moment is tested
    pool.signal(signal.SIGTERM)

    code = pool.wait(PATIENCE_S)
    assert code in ((0,) if "pool started" in pool.log() else (0, BEFORE_THE_PROGRAM))
    _nothing_is_left(scene, pool, message)


@pytest.mark.usually(3, every=2)
@pytest.mark.parametrize(
    "moment", ["pool started", "janitor started", "worker started", "slot=1", "queue did not exist", "worker ready"]
)
def test_sigterm_at_this_moment_of_the_start_leaves_nothing_behind(scene: Scene, moment: str) -> None:
    message = scene.publish_one({"do": "ok"})
    pool = scene.pool("--log-level=debug", ready=False, queue=["q", "new"])
    eventually(lambda: moment in pool.log(), PATIENCE_S, pool.log)

    pool.signal(signal.SIGTERM)

    scene.gone(pool)
    _nothing_is_left(scene, pool, message)


@pytest.mark.parametrize("preload", ["on", "off"])
def test_sigterm_while_the_handler_is_imported_does_not_wait_for_it(scene: Scene, preload: str) -> None:
    message = scene.publish_one({"do": "ok"})
    pool = scene.pool(f"--preload={preload}", ready=False, handler="tests.faults.never_imports:handler")
    started = "template started" if preload == "on" else "worker started slot=0"
    eventually(lambda: started in pool.log(), PATIENCE_S, pool.log)

    pool.signal(signal.SIGTERM)

    scene.gone(pool, timeout_s=PATIENCE_S / 2)
    assert scene.waiting() == [message], "a message was claimed before the handler was imported"
    invariants.check_nobody_blamed(scene.redis, "q")


def _nothing_is_left(scene: Scene, pool: Pool, message: str) -> None:
    pool.assert_no_process_left()
    invariants.check_log(pool.log())
    scene.check_stored()
    assert not scene.registered()
    assert not scene.held()
    invariants.check_nobody_blamed(scene.redis, "q")
    invariants.check_duplicates(scene.ledger, allowed=0)
    assert (scene.waiting() == [message]) != _handled(scene.ledger, message)


def _handled(ledger: Ledger, message: str) -> bool:
    return message in ledger.handled()
