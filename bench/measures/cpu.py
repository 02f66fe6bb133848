"""CPU-bound handlers: two workers against a bare multiprocessing loop that does the same work."""

from __future__ import annotations

import statistics
import time
from typing import Any, Mapping

from bench.fair import bare_work, stats
from bench.fair.arm import running
from bench.fair.bare_work import WORKERS
from bench.fair.lab import Lab, lab
from bench.goals import AT_LEAST, Goal
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.apps import tally
from bench.peers.environment import prepare

LIMITS = {1: 0.90, 10: 0.97, 100: 0.99}


def measure(scale: Scale) -> dict[str, Any]:
    """Messages a second of both, measured in turns, by milliseconds of work a message."""
    turns = tally.turns_per_us()
    found: dict[str, Any] = {str(ms): {"bare": [], "bizzmq": []} for ms in LIMITS}
    with lab() as on:
        for number in range(scale.cpu_rounds):
            for ms in LIMITS:
                count = max(int(scale.cpu_s * 1000 / ms) * WORKERS, scale.cpu_messages * WORKERS)
                both = [("bare", lambda: bare_work.per_s(count, ms, turns)),  # noqa: B023 - called before the next turn
                        ("bizzmq", lambda: pool_per_s(on, count, ms, turns))]  # noqa: B023 # fmt: skip
                for name, rate in both if number % 2 else both[::-1]:
                    found[str(ms)][name].append(rate())
    return {"turns_per_us": turns, "by_ms": found}


def pool_per_s(on: Lab, count: int, ms: int, turns: float) -> float:
    """Messages a second of a real pool, from the release of the barrier to the last ack."""
    peer = ARMS["bizzmq"]
    with running(peer, prepare(peer), on, count + 2000, turns) as arm:
        arm.boot(50)
        with arm.suspended():
            arm.publish("bulk", count, us=1000 * ms)
            begin_s = time.perf_counter()
        arm.wait_acked()
        return count / (time.perf_counter() - begin_s)


def goals(result: Mapping[str, Any]) -> list[Goal]:
    return [
        Goal(f"CPU-bound, {ms} ms a message, x bare loop", AT_LEAST, LIMITS[int(ms)],
             stats.ratio(of["bizzmq"], of["bare"]), f"{WORKERS} processes: {statistics.median(of['bare']):,.1f}/s")
        for ms, of in result["by_ms"].items()
    ]  # fmt: skip
