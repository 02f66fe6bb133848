"""What each feature costs a message that uses it, and the same features of peers."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from bench.fair import stats
from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.fair.session import CAPACITY, Plan, drain, singles
from bench.fair.tallies import check
from bench.goals import Goal
from bench.measures import arms, arms_goals, operations
from bench.measures.scale import Scale
from bench.peers.environment import Environment
from bench.peers.peer import OWN, Peer
from bench.peers.with_features import (
    AGAIN,
    BASES,
    OWN_FEATURES,
    PLAIN,
    PROGRESS,
    PROGRESS_PEERS,
    UNIQUE,
    UNIQUE_PEERS,
)

Figure = Callable[[Mapping[str, Any]], float]
HEADINGS = ["feature", "handled/s", "of plain", "publish us", "worker us", "server us", "commands", "bytes",
            "bulk/s", "drain/s", "single/s", "lost", "doubled", "guarantee"]  # fmt: skip
PEERS = ("bullmq node", "rq simple", "saq")
"""The peers that have features that are compared."""
UNIQUE_GOAL, PROGRESS_GOAL = "features: a unique key, x best peer", "features: result and progress, x best peer"


def chosen(scale: Scale) -> dict[str, Peer]:
    """Our arms, and those of the scale's peers that have one of the compared features."""
    peers = [peer for peer in (*UNIQUE_PEERS, *PROGRESS_PEERS) if peer.name.rpartition(", ")[0] in scale.arms]
    return {**OWN_FEATURES, **{peer.name: peer for peer in peers}}


def measure(scale: Scale) -> dict[str, Any]:
    """The rounds of every arm that can run here, those of the operations, and the skipped arms with the reason."""
    peers = chosen(scale)
    places, skipped = arms.environments(peers)
    found = arms.described(peers, places)
    with lab() as on:
        for number in range(scale.rounds):
            arms.run_round(
                number, scale, found, skipped, lambda name: session(peers[name], places[name], on, scale.plan)
            )
        done = operations.measure(on, scale)
    return {"arms": arms.whole(found, scale), "operations": done, "skipped": skipped}


def session(peer: Peer, place: Environment, on: Lab, plan: Plan) -> dict[str, Any]:
    """One arm in one round: its drain and single publishes."""
    with running(peer, place, on, CAPACITY, 1.0) as arm:
        arm.boot(20)
        found: dict[str, Any] = {"boot_s": arm.boot_s, "drain": drain(arm, plan)}
        found["single_per_s"] = singles(arm, plan.singles)
        found["ids"] = check(arm.tallies.counts(), arm.published)
    return found


def handled(one: Mapping[str, Any]) -> float:
    """Messages a second that are published, many at once, and then handled."""
    return 1 / (1 / arms_goals.bulk(one) + 1 / arms_goals.drain(one))


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals that can be judged with the arms that ran."""
    floor = noise(result) or 0.0
    found = _versus_best(result, UNIQUE_GOAL, 8, UNIQUE, [peer.name for peer in UNIQUE_PEERS])
    found += _versus_best(result, PROGRESS_GOAL, 5, PROGRESS, [peer.name for peer in PROGRESS_PEERS])
    return [*(replace(goal, floor=floor) for goal in found), *balance(result)]


def noise(result: Mapping[str, Any]) -> float | None:
    """The noise floor, from our two equal arms; None if one of them did not run."""
    return arms_goals.noise(result, handled, PLAIN, AGAIN)


def _versus_best(result: Mapping[str, Any], name: str, limit: float, ours: str, rivals: Sequence[str]) -> list[Goal]:
    """A goal against the fastest of all peers that have the feature, in any language and with any guarantee."""
    medians = {
        rival: statistics.median(arms_goals.series(result["arms"][rival]["rounds"], handled))
        for rival in rivals
        if rival in result["arms"]
    }
    best = max(medians, key=lambda rival: medians[rival]) if medians else None
    return arms_goals.versus(result, name, limit, handled, best, ours)


def balance(result: Mapping[str, Any]) -> list[Goal]:
    """The exact check of the ids of our arms."""
    ours = [of for of in result["arms"].values() if of["language"] == OWN]
    return [arms_goals.each_once("features: lost or duplicated", ours)]


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line for each arm, ours in the order of the features, then the peers': medians of all rounds."""
    return [_row(name, of, _base(result, name)) for name, of in result["arms"].items()]


def _base(result: Mapping[str, Any], name: str) -> Sequence[float]:
    """The rates of the arm that this one is compared with."""
    base = result["arms"].get(BASES.get(name, PLAIN))
    return arms_goals.series(base["rounds"], handled) if base else ()


def _row(name: str, of: Mapping[str, Any], base: Sequence[float]) -> list[str]:
    rounds = of["rounds"]
    rates = arms_goals.series(rounds, handled)

    def median(figure: str) -> float:
        return statistics.median(one["drain"][figure] for one in rounds)

    return [
        name, f"{statistics.median(rates):,.0f}", f"{stats.ratio(rates, base).value:.2f}" if base else "-",
        f"{median('publisher_cpu_us'):.1f}", f"{median('worker_cpu_us'):.1f}", f"{median('all_server_cpu_us'):.1f}",
        f"{median('commands_per_message'):.2f}", f"{median('bytes_per_message'):,.0f}",
        f"{median('bulk_per_s'):,.0f}", f"{median('per_s'):,.0f}",
        f"{statistics.median(one['single_per_s'] for one in rounds):,.0f}",
        str(sum(one["ids"]["lost"] for one in rounds)), str(sum(one["ids"]["duplicated"] for one in rounds)),
        of["guarantee"],
    ]  # fmt: skip
