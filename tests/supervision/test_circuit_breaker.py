"""The circuit breaker: a queue with many different deadly messages is paused and logged; one poison message is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizzmq import QueueOptions
from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.pool_header import PoolGate
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.supervisor.circuit_breaker import FIRST_PAUSE_S, FORGET_S, LONGEST_PAUSE_S, WINDOW, CircuitBreaker
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.pool_status import socket_of, status_of, wait_for_status

OTHER = "other"
PAUSES = "its claims pause"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def gate() -> PoolGate:
    return Scoreboard(1).gate


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def circuit_breaker(gate: PoolGate, now: Clock) -> CircuitBreaker:
    return CircuitBreaker([QUEUE, OTHER], gate, now)


def deaths(circuit_breaker: CircuitBreaker, *messages: str, queue: int = 0) -> list[bool]:
    """The effect of each of these deaths on the queue."""
    return [circuit_breaker.died(queue, message) for message in messages]


@pytest.mark.parametrize(
    ("different", "closes"), [(1, False), (WINDOW // 2, False), (WINDOW // 2 + 1, True), (WINDOW, True)]
)
def test_a_queue_closes_when_more_than_half_of_its_last_20_deaths_are_of_different_messages(
    circuit_breaker: CircuitBreaker, gate: PoolGate, now: Clock, different: int, closes: bool
) -> None:
    closed = deaths(circuit_breaker, *[f"m{number % different}" for number in range(WINDOW)])

    assert closed == [False] * (WINDOW - 1) + [closes]
    assert gate.closed_until_s(0) == (now.now_s + FIRST_PAUSE_S if closes else 0.0)
    assert gate.closed_until_s(1) == 0.0


def test_only_the_last_20_deaths_count(circuit_breaker: CircuitBreaker) -> None:
    several = [f"m{number}" for number in range(WINDOW // 2 - 1)]

    assert not any(deaths(circuit_breaker, *several, *["poison"] * WINDOW, *reversed(several)))


def test_old_deaths_do_not_count(circuit_breaker: CircuitBreaker, now: Clock) -> None:
    assert not any(deaths(circuit_breaker, *[f"m{number}" for number in range(WINDOW - 1)]))
    now.now_s += FORGET_S + 1

    assert deaths(circuit_breaker, "m") == [False]
    assert deaths(circuit_breaker, *[f"n{number}" for number in range(WINDOW - 1)])[-1], "these deaths are recent"


def test_each_queue_is_judged_by_its_own_deaths(circuit_breaker: CircuitBreaker, gate: PoolGate) -> None:
    for number in range(WINDOW - 1):
        assert deaths(circuit_breaker, f"a{number}") == deaths(circuit_breaker, f"b{number}", queue=1) == [False]

    assert deaths(circuit_breaker, "b", queue=1) == [True]
    assert gate.closed_until_s(0) == 0.0


def test_pauses_grow_up_to_a_limit_and_are_forgotten_after_a_while(
    circuit_breaker: CircuitBreaker, gate: PoolGate, now: Clock
) -> None:
    pauses_s = []
    for round_ in range(9):
        deaths(circuit_breaker, *[f"{round_} {number}" for number in range(WINDOW)])
        pauses_s.append(gate.closed_until_s(0) - now.now_s)
        now.now_s = gate.closed_until_s(0) + 1

    assert pauses_s == [min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number) for number in range(9)]
    now.now_s += FORGET_S
    deaths(circuit_breaker, *[f"later {number}" for number in range(WINDOW)])
    assert gate.closed_until_s(0) - now.now_s == FIRST_PAUSE_S


def test_a_deadly_queue_is_paused_and_logged_while_other_queues_continue(scene: Scene, runtime: Path) -> None:
    scene.mq.create_queue(OTHER, QueueOptions())
    pool = scene.pool("--max-crashes=1", queue=[QUEUE, OTHER], concurrency=4)
    control = socket_of(pool, runtime)
    scene.publish(*[{"do": "kill_self"}] * WINDOW)

    log_says(pool, PAUSES)

    (line,) = [line for line in pool.log().splitlines() if PAUSES in line]
    assert " ERROR " in line
    assert f"queue={QUEUE} pause_s={FIRST_PAUSE_S:g}" in line
    survivor = scene.publish_one({"do": "ok"})
    others = scene.publish(*[{"do": "ok"}] * 20, queue=OTHER)
    scene.ledger.wait_handled(*others, timeout_s=PATIENCE_S)
    waiting = scene.waiting()  # asked first: the pause may end at any moment
    closed_for_s = {row["queue"]: row["closed_for_s"] for row in status_of(control)["queues"]}
    assert closed_for_s[OTHER] == 0.0
    if closed_for_s[QUEUE] > 0:  # unless this took longer than the pause
        assert waiting == [survivor]
    scene.ledger.wait_handled(survivor, timeout_s=PATIENCE_S)
    wait_for_status(control, lambda status: not any(row["closed_for_s"] for row in status["queues"]))
    assert scene.mq.stats(QUEUE).dead_lettered == WINDOW
    assert pool.exit_code is None
    scene.retire(pool)


def test_one_poison_message_alone_closes_no_queue(scene: Scene) -> None:
    pool = scene.pool(f"--max-crashes={WINDOW + 4}", concurrency=4)
    poison = scene.publish_one({"do": "kill_self"})

    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1, 2 * PATIENCE_S, pool.log)

    assert len(scene.ledger.runs_of(poison)) == WINDOW + 4
    assert PAUSES not in pool.log()
    innocent = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(innocent, timeout_s=PATIENCE_S)
    scene.retire(pool)
