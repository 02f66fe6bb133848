"""D8: extreme priorities and delays keep the documented order."""

from __future__ import annotations

import random
import time

import pytest

from bizzmq import ConfigurationError, MessageOptions
from bizzmq.message import MAX_DELAY_S, PRIORITY_LIMIT
from bizzmq.testing.layout import Keys, attempts_of
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

HIGHEST, LOWEST = PRIORITY_LIMIT, -PRIORITY_LIMIT
PRIORITIES = [HIGHEST, HIGHEST - 1, HIGHEST - 2, 10**9, 2, 1, 0, -1, -2, -(10**9), LOWEST + 2, LOWEST + 1, LOWEST]
"""In the order of handling. Neighbours at both ends differ in the last digit of a score."""


def test_a_higher_priority_comes_first_at_any_size(scene: Scene, rng: random.Random) -> None:
    wanted = [(priority, turn) for priority in PRIORITIES for turn in range(3)]
    shuffled = rng.sample(wanted, len(wanted))
    published: dict[str, int] = {}
    for priority, _ in shuffled:
        published[scene.publish_one({"do": "ok"}, priority=priority)] = priority

    pool = scene.pool("--prefetch=1", concurrency=1)
    scene.settle()

    order = [event.id for event in scene.ledger.starts()]
    assert [published[name] for name in order] == [priority for priority, _ in wanted]
    assert order == sorted(order, key=lambda name: (-published[name], name)), "equal ones: the first published first"
    scene.retire(pool)


@pytest.mark.parametrize("priority", [HIGHEST, LOWEST])
def test_an_extreme_priority_survives_a_delay_a_retry_and_a_crash(scene: Scene, priority: int) -> None:
    other = LOWEST if priority == HIGHEST else HIGHEST
    message = scene.publish_one({"do": "raise", "times": 1}, priority=priority, delay_s=0.05)
    killer = scene.publish_one({"do": "os_exit", "times": 1}, priority=priority)
    pool = scene.pool(concurrency=1)
    scene.ledger.wait_handled(message, killer, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=2)

    held_back = scene.publish_one({"do": "ok"}, priority=other, delay_s=3600.0)
    assert attempts_of(scene.redis, QUEUE, held_back).priority == other
    scene.redis.zadd(Keys(QUEUE).delayed, {held_back: 0})
    scene.publish_one({"do": "ok"})
    scene.settle(extra_runs=2)
    assert {event.fields["retry_count"] for event in scene.ledger.starts()} == {0, 1}
    scene.retire(pool)


def test_delays_end_in_their_order_from_a_millisecond_to_a_century(scene: Scene) -> None:
    delays_s = [0.0, 0.001, 0.0004, 0.2, 0.1, MAX_DELAY_S, 3600.0, 30 * 86400.0]
    ids = {delay_s: scene.publish_one({"do": "ok"}, delay_s=delay_s) for delay_s in delays_s}
    pool = scene.pool(concurrency=1)
    due = [ids[delay_s] for delay_s in delays_s if delay_s < 1.0]
    scene.ledger.wait_handled(*due, timeout_s=PATIENCE_S)

    scores = scene.redis.zrange(Keys(QUEUE).delayed, 0, -1, withscores=True)
    assert [name for name, _ in scores] == [ids[3600.0], ids[30 * 86400.0], ids[MAX_DELAY_S]]
    now_ms = time.time() * 1000
    for (_, due_ms), delay_s in zip(scores, (3600.0, 30 * 86400.0, MAX_DELAY_S)):
        assert abs(due_ms - now_ms - delay_s * 1000) < PATIENCE_S * 1000
        assert due_ms == int(due_ms), "a fraction of a millisecond was lost"
    started = [event.id for event in scene.ledger.starts()]
    assert started.index(ids[0.1]) < started.index(ids[0.2])
    scene.redis.zadd(Keys(QUEUE).delayed, {name: 0 for name, _ in scores})
    scene.publish_one({"do": "ok"})
    scene.settle()
    scene.retire(pool)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": HIGHEST + 1}, {"priority": LOWEST - 1}, {"priority": 1.5}, {"priority": True},
        {"priority": float("inf")}, {"delay_s": -0.001}, {"delay_s": MAX_DELAY_S * 1.01}, {"delay_s": float("nan")},
        {"delay_s": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_values_beyond_the_extremes_are_refused_before_anything_is_sent(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        MessageOptions(**options)  # type: ignore[arg-type]
