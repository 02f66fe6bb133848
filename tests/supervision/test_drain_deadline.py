"""The deadline of a drain: handlers can read it, can request an exception, and cannot outlast it."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.workers.supervisor.drain import Drain
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.limit_handlers import ASYNC_HANDLER, CAUGHT, CLEANED, HANDLER, LIMIT
from tests.supervision.test_soft_limits import NEVER, events_of

DRAIN_S = 4.0
SOFT_SHARE = 0.8
LATE_S = 5.0
"""How much later other processes may let a pool end. A handler that nobody kills goes on for a minute and more."""


def logged_at_s(pool: Pool, sentence: str) -> float:
    """The time of this single log line by the pool's clock: the test itself may be delayed by other processes."""
    (line,) = [line for line in pool.log().splitlines() if sentence in line]
    return datetime.strptime(line.split(maxsplit=1)[0], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


@pytest.mark.parametrize(("timeout_s", "spare_s"), [(30.0, 1.0), (4.0, 0.4)])
def test_workers_are_killed_early_enough_that_the_drain_ends_in_its_time(timeout_s: float, spare_s: float) -> None:
    now_s = 100.0
    drain = Drain(timeout_s, lambda: now_s)
    assert not drain.overdue
    assert drain.request()

    now_s = 100 + timeout_s - spare_s - 0.01
    assert not drain.overdue
    now_s += 0.02
    assert drain.overdue
    assert 1.0 <= drain.give_up_at_s() - now_s < 1.1, "what the killed ones held has to be given back"


def began(scene: Scene, *messages: str) -> None:
    for message in messages:
        scene.ledger.wait_started(message, timeout_s=PATIENCE_S)


def test_the_context_has_the_time_left_of_a_drain(scene: Scene, tmp_path: Path) -> None:
    pool = scene.pool("--drain-timeout=25", handler=HANDLER, concurrency=1)
    path = tmp_path / "go-on"
    message = scene.publish_one({"do": "watch_drain", "path": str(path)})
    scene.ledger.wait_for(lambda ledger: ledger.events(LIMIT), PATIENCE_S)

    pool.signal(signal.SIGTERM)
    scene.ledger.wait_for(lambda ledger: ledger.events("draining"), PATIENCE_S)
    path.touch()

    scene.gone(pool)
    assert events_of(scene, LIMIT, message) == [{"timeout_s": None, "left_s": None}]
    (draining,) = events_of(scene, "draining", message)
    assert 10.0 < draining["left_s"] <= 25.0
    assert scene.ledger.handled() == {message}


def test_an_earlier_time_limit_is_the_time_left(scene: Scene, tmp_path: Path) -> None:
    pool = scene.pool("--drain-timeout=100", handler=HANDLER, concurrency=1)
    path = tmp_path / "go-on"
    message = scene.publish_one({"do": "watch_drain", "path": str(path)}, timeout_s=50.0)
    began(scene, message)

    pool.signal(signal.SIGTERM)
    scene.ledger.wait_for(lambda ledger: ledger.events("draining"), PATIENCE_S)
    path.touch()

    scene.gone(pool)
    (draining,) = events_of(scene, "draining", message)
    assert 0.0 < draining["left_s"] <= 50.0


@pytest.mark.usually(1)
@pytest.mark.parametrize("handler", [HANDLER, ASYNC_HANDLER])
def test_draining_is_raised_only_in_handlers_that_requested_it(scene: Scene, handler: str) -> None:
    pool = scene.pool(f"--drain-timeout={DRAIN_S}", handler=handler, concurrency=2)
    stoppable, stubborn = scene.publish(
        {"do": "await_stoppable" if handler == ASYNC_HANDLER else "stoppable", "path": NEVER},
        {"do": "await" if handler == ASYNC_HANDLER else "wait_for_file", "path": NEVER},
    )
    began(scene, stoppable, stubborn)
    behind = scene.publish_one({"do": "ok"})

    pool.signal(signal.SIGTERM)

    scene.gone(pool)
    (caught,) = events_of(scene, CAUGHT, stoppable)
    assert caught["error"] == "Draining"
    assert 0.0 < caught["left_s"] <= DRAIN_S * (1 - SOFT_SHARE)
    assert events_of(scene, CLEANED, stoppable)
    assert not events_of(scene, CAUGHT, stubborn)
    assert not events_of(scene, CLEANED, stubborn)
    assert sorted(scene.waiting()[:2]) == [stoppable, stubborn], "at the head"
    assert scene.waiting()[2:] == [behind]
    for message in (stoppable, stubborn):
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    assert "message put back, the pool is draining" in pool.log()
    assert logged_at_s(pool, "pool ended") - logged_at_s(pool, "draining signal=") < DRAIN_S + LATE_S
    second = scene.pool(handler=handler)
    scene.settle(extra_runs=2)
    scene.retire(second)


def test_a_pool_whose_handlers_can_all_be_stopped_exits_before_the_deadline(scene: Scene) -> None:
    pool = scene.pool(f"--drain-timeout={2 * DRAIN_S}", handler=HANDLER, concurrency=2)
    messages = scene.publish(*[{"do": "stoppable", "path": NEVER}] * 2)
    began(scene, *messages)

    pool.signal(signal.SIGTERM)

    scene.gone(pool)
    took_s = logged_at_s(pool, "pool ended") - logged_at_s(pool, "draining signal=")
    assert took_s >= 2 * DRAIN_S * SOFT_SHARE - 0.1
    assert "worker died" not in pool.log(), "no worker had to be killed"
    assert sorted(scene.waiting()) == messages


def test_a_handler_that_swallows_everything_does_not_outlast_the_drain(scene: Scene) -> None:
    pool = scene.pool(f"--drain-timeout={DRAIN_S}", handler=HANDLER, concurrency=3)
    messages = scene.publish({"do": "deaf"}, {"do": "deaf"}, {"do": "stoppable", "path": NEVER, "then": "hold_gil"})
    began(scene, *messages)

    pool.signal(signal.SIGTERM)

    scene.gone(pool)
    assert logged_at_s(pool, "pool ended") - logged_at_s(pool, "draining signal=") < DRAIN_S + LATE_S
    for message in messages:
        assert [one["error"] for one in events_of(scene, CAUGHT, message)] == ["Draining"]
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    assert sorted(scene.waiting()) == messages
    scene.check_stored()


def test_a_handler_that_catches_draining_and_returns_has_succeeded(scene: Scene) -> None:
    pool = scene.pool(f"--drain-timeout={DRAIN_S}", handler=HANDLER, concurrency=1)
    message = scene.publish_one({"do": "stoppable", "path": NEVER, "then": "return"})
    began(scene, message)

    pool.signal(signal.SIGTERM)

    scene.gone(pool)
    assert scene.ledger.handled() == {message}
    assert scene.mq.stats(QUEUE).acked == 1
    scene.check_stored()


def test_a_second_signal_does_not_wait_for_the_deadline(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=600", handler=HANDLER, concurrency=2)
    messages = scene.publish({"do": "stoppable", "path": NEVER}, {"do": "deaf"})
    began(scene, *messages)
    pool.signal(signal.SIGTERM)
    log_says(pool, "draining signal=")

    while "stopping at once" not in pool.log():
        pool.signal(signal.SIGTERM)
        time.sleep(0.1)  # within a second it would count as the same signal

    scene.gone(pool)
    # The second counts from the signal, which may be logged a little later.
    assert logged_at_s(pool, "stopping at once") - logged_at_s(pool, "draining signal=") >= 0.5
    assert not any(events_of(scene, CAUGHT, message) for message in messages)
    for message in messages:
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    assert sorted(scene.waiting()) == messages
