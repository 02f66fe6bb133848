"""No-op drains by the number of workers, for BizzMQ and its peers, and one worker against one bare loop."""

from __future__ import annotations

import statistics
from typing import Any, Mapping

from bench.fair import stats, yardsticks
from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.fair.session import CAPACITY, Plan, drain
from bench.goals import AT_LEAST, Goal
from bench.measures import arms
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.environment import Environment
from bench.peers.peer import Peer
from bizzmq.workers.process import cgroups

SIZES = [size for size in (1, 2, 4, 8, 16, 32) if size <= 2 * cgroups.usable_processors()]
OWN, ONE = "bizzmq", "bizzmq --prefetch 1"
PEER_ROUNDS = 2
"""The rounds of peers: they are drawn for comparison, and no goal depends on them here."""


def measure(scale: Scale) -> dict[str, Any]:
    """Messages a second by arm and number of workers, and of the bare loop that claims one message at a time."""
    places, skipped = arms.environments({name: ARMS[name] for name in (OWN, ONE, *scale.scaled_peers)})
    found: dict[str, dict[str, list[float]]] = {name: {str(size): [] for size in SIZES} for name in places}
    bare: list[float] = []
    with lab() as on:
        for number in range(scale.rounds):
            bare.append(yardsticks.claims_per_s(on, max(1000, scale.plan.most // 10), 1, 1))
            names = [name for name in places if name in (OWN, ONE) or number < PEER_ROUNDS]
            for size in SIZES if number % 2 else SIZES[::-1]:
                for name in arms.rotated(names, number):
                    try:
                        found[name][str(size)].append(
                            per_s(on, ARMS[name].of_size(size), places[name], size, scale.plan)
                        )
                    except arms.FAILURES as error:
                        if ARMS[name].is_own:
                            raise
                        skipped[name] = f"{size} workers: {str(error).strip().splitlines()[0]}"
    whole = {name: by_size for name, by_size in found.items() if all(by_size.values())}
    return {"per_s": whole, "bare_per_s": bare, "skipped": skipped}


def per_s(on: Lab, peer: Peer, place: Environment, processes: int, plan: Plan) -> float:
    with running(peer, place, on, CAPACITY, 1.0) as arm:
        arm.boot(20, processes)
        return float(drain(arm, plan)["per_s"])


def goals(result: Mapping[str, Any]) -> list[Goal]:
    note = f"one worker, one loop over one connection: {statistics.median(result['bare_per_s']):,.0f}/s"
    return [Goal("--prefetch 1, one worker, x a bare loop", AT_LEAST, 0.8,
                 stats.ratio(result["per_s"][ONE]["1"], result["bare_per_s"]), note)]  # fmt: skip
