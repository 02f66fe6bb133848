"""P10 to P12: SIGTERM, SIGINT and SIGQUIT, once and repeated, to pools that are busy, idle or unresponsive."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from typing import Callable

import pytest

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, SOON_S, Scene, log_says

STOPPING = "stopping at once"


def _twice(pool: Pool) -> None:
    for _ in range(2):
        pool.signal(signal.SIGTERM)
        log_says(pool, "draining")


def _to_the_terminals_group(pool: Pool) -> None:
    os.killpg(os.getpgid(pool.supervisor_pid), signal.SIGINT)


def _to_every_process(pool: Pool) -> None:
    pool.signal_all(signal.SIGINT)


@pytest.mark.usually(1)
@pytest.mark.parametrize("send", [_twice, _to_the_terminals_group, _to_every_process])
def test_a_drain_lets_running_messages_finish_and_gives_the_rest_back(
    scene: Scene, send: Callable[[Pool], None]
) -> None:
    pool = scene.pool(handler=HANDLER)
    gates = [scene.gate() for _ in range(2)]
    running = scene.publish(*[gate.body() for gate in gates])
    for message in running:
        scene.ledger.wait_started(message)
    rest = scene.publish(*[{"gate": "", "actions": ["ok"]}] * 5)

    send(pool)
    log_says(pool, "draining")
    for gate in gates:
        gate.open()

    scene.gone(pool)
    assert STOPPING not in pool.log()
    assert scene.ledger.handled() == set(running)
    assert scene.waiting() == rest, "unstarted messages are not in their places"
    assert scene.mq.stats(QUEUE).acked == 2
    scene.check_stored()
    invariants.check_nobody_blamed(scene.redis, QUEUE)
    invariants.check_duplicates(scene.ledger, allowed=0)


def test_repeated_signals_are_ignored_for_a_second_and_then_stop_the_pool_at_once(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER)
    message = scene.publish_one(scene.gate().body())
    scene.ledger.wait_started(message)

    started_s = time.monotonic()
    while STOPPING not in pool.log():
        pool.signal(signal.SIGTERM)
        time.sleep(0.05)  # the repetition is what is tested
        assert time.monotonic() - started_s < PATIENCE_S, pool.log()

    assert time.monotonic() - started_s >= 1.0
    assert pool.log().count("draining") == pool.log().count(STOPPING) == 1
    _cut_off_without_blame(scene, pool, message)


@pytest.mark.usually(2)
@pytest.mark.parametrize("numbers", [[signal.SIGTERM, signal.SIGQUIT], [signal.SIGQUIT], [signal.SIGQUIT] * 3])
def test_sigquit_stops_at_once_and_gives_everything_back(scene: Scene, numbers: list[int]) -> None:
    pool = scene.pool(handler=HANDLER)
    message = scene.publish_one(scene.gate().body())
    scene.ledger.wait_started(message)

    for number in numbers:
        pool.signal(number)
        eventually(lambda: "draining" in pool.log() or STOPPING in pool.log(), PATIENCE_S)

    _cut_off_without_blame(scene, pool, message)


def _cut_off_without_blame(scene: Scene, pool: Pool, message: str) -> None:
    scene.gone(pool, timeout_s=10.0)
    assert scene.waiting() == [message]
    scene.check_stored()
    invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    second = scene.pool()  # its handler also takes messages without a gate
    scene.settle(extra_runs=1)
    scene.retire(second)


@pytest.mark.usually(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_pool_exits_within_a_second(scene: Scene, number: int) -> None:
    took_s = []
    for _ in range(3):
        pool = scene.pool("--log-level=debug", concurrency=4)
        log_says(pool, "worker ready", times=4)
        started_s = time.monotonic()
        pool.signal(number)
        scene.gone(pool)
        took_s.append(time.monotonic() - started_s)

    assert min(took_s) < SOON_S, took_s


def test_signals_up_to_the_last_moment_do_not_change_the_exit_code(scene: Scene) -> None:
    pool = scene.pool()

    while pool.exit_code is None:
        pool.signal(signal.SIGTERM)
        time.sleep(0.001)  # between two signals; the test waits for the exit

    scene.gone(pool)


def test_unresponsive_handlers_are_killed_in_time_and_not_blamed(scene: Scene) -> None:
    timeout_s = 5.0
    actions = ["ignore_sigterm_sleep", "hold_gil", "wait_for_file"]
    pool = scene.pool(f"--drain-timeout={timeout_s}", concurrency=3)
    messages = scene.publish(*[{"do": action, "times": 1, "path": "/never/there"} for action in actions])
    for message in messages:
        scene.ledger.wait_started(message)

    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    # From the pool's log, and with some time more: this process and the pool may be delayed by others.
    took_s = _logged_at_s(pool, "pool ended") - _logged_at_s(pool, "draining")
    assert timeout_s * 0.8 < took_s < timeout_s + 5.0, pool.log()
    scene.gone(pool)
    assert sorted(scene.waiting()) == messages
    for message in messages:
        invariants.check_blame(scene.redis, QUEUE, message, retries=0, crashes=0, requeues=1)
    scene.check_stored()
    second = scene.pool()
    scene.settle(extra_runs=3)
    scene.retire(second)


def _logged_at_s(pool: Pool, sentence: str) -> float:
    (line,) = [line for line in pool.log().splitlines() if sentence in line]
    return datetime.strptime(line.split(maxsplit=1)[0], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
