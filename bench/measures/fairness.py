"""Mixed messages of 1 ms and 1 s: how long one waits behind a long one while another worker is idle."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from bench.fair.arm import running
from bench.fair.lab import lab
from bench.fair.tallies import Run
from bench.goals import AT_MOST, Goal, exactly
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.apps import tally
from bench.peers.environment import prepare

SHORT_US, LONG_US = 1000, 1_000_000
SHORT, CAPACITY = 30, 20_000


def measure(scale: Scale) -> dict[str, Any]:
    """Bursts of one long message among short ones, to workers that have just handled only short ones."""
    peer, turns, worst_s = ARMS["bizzmq"], tally.turns_per_us(), []
    with lab() as on, running(peer, prepare(peer), on, CAPACITY, turns) as arm:
        arm.boot(50)
        for _ in range(scale.rounds):
            arm.publish("bulk", 300, us=SHORT_US)  # the workers adapt: they claim several messages at once
            arm.wait_acked()
            first, due_s = arm.published, []
            for us, count in ((SHORT_US, SHORT), (LONG_US, 1), (SHORT_US, SHORT)):
                reported = arm.publish("paced", count, us=us, at=[0.0] * count)
                due_s += reported["sent_s"]
            arm.wait_acked()
            runs = arm.tallies.runs(range(first, arm.published))
            worst_s.append(max(idle_meanwhile_s(due_s[n - first], run, runs.values()) for n, run in runs.items()))
    return {"worst_s": worst_s}


def idle_meanwhile_s(published_s: float, run: Run, runs: Any) -> float:
    """How long this message waited while its worker ran a long one and another worker was idle."""
    mine: list[tuple[float, float]] = []
    others: dict[int, list[tuple[float, float]]] = {}
    for other in runs:
        if other.slot != run.slot:
            others.setdefault(other.slot, []).append((other.began_s, other.ended_s))
        elif other.ended_s - other.began_s > LONG_US / 4e6:
            mine.append((max(published_s, other.began_s), min(run.began_s, other.ended_s)))
    waited = [span for span in mine if span[1] > span[0]]
    return max((idle_s(span, busy) for span in waited for busy in others.values()), default=0.0)


def idle_s(span: tuple[float, float], busy: Sequence[tuple[float, float]]) -> float:
    """The part of the span that no busy span covers; busy spans do not overlap."""
    covered = sum(max(0.0, min(span[1], end_s) - max(span[0], begin_s)) for begin_s, end_s in busy)
    return span[1] - span[0] - covered


def goals(result: Mapping[str, Any]) -> list[Goal]:
    worst_ms = 1000 * max(result["worst_s"])
    return [Goal("behind a long one while another is idle, ms", AT_MOST, 50, exactly(worst_ms),
                 f"the worst message of {len(result['worst_s'])} bursts")]  # fmt: skip
