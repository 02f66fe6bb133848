"""Tasks: drain, publishing, and a result that one process publishes for and waits for, of BizzMQ and its peers."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any, Mapping

from bench.fair import stats
from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.fair.session import CAPACITY, Plan, drain, singles
from bench.fair.tallies import check
from bench.goals import AT_MOST, Goal
from bench.measures import arms, arms_goals, dispatch
from bench.measures.scale import Scale
from bench.peers.environment import Environment
from bench.peers.own import PLAIN, RESULTS, TASK, TASK_ARMS
from bench.peers.peer import AT_LEAST_ONCE, PYTHON, Peer
from bench.peers.with_results import RESULT_PEERS, TASK_PEERS

HEADINGS = ["tasks", "drain/s", "of plain", "bulk/s", "single/s", "worker us", "server us", "commands",
            "result p50 ms", "p99", "lost", "doubled", "guarantee"]  # fmt: skip


def chosen(scale: Scale) -> dict[str, Peer]:
    """Our arms, and those of the scale's peers that can keep results, without and with them."""
    names = [name for name in TASK_PEERS if name in scale.arms]
    peers = [peer for name in names for peer in (TASK_PEERS[name], RESULT_PEERS[name])]
    return {peer.name: peer for peer in (*TASK_ARMS, *peers)}


def measure(scale: Scale) -> dict[str, Any]:
    """The rounds of every arm that can run here, the cost of a dispatch, and the skipped arms with the reason."""
    peers = chosen(scale)
    places, skipped = arms.environments(peers)
    found = arms.described(peers, places)
    with lab() as on:
        for number in range(scale.rounds):
            arms.run_round(
                number, scale, found, skipped, lambda name: session(peers[name], places[name], on, scale.plan)
            )
    return {"arms": arms.whole(found, scale), "dispatch_us": dispatch.measure(5 * scale.rounds), "skipped": skipped}


def session(peer: Peer, place: Environment, on: Lab, plan: Plan) -> dict[str, Any]:
    """One arm in one round: its drain, single publishes, and with results its calls to one worker."""
    with running(peer, place, on, CAPACITY, 1.0) as arm:
        arm.boot(20)
        found: dict[str, Any] = {"boot_s": arm.boot_s, "drain": drain(arm, plan)}
        found["single_per_s"] = singles(arm, plan.singles)
        found["ids"] = check(arm.tallies.counts(), arm.published)
    if peer.keeps_results:
        found["call_s"] = calls_s(peer, place, on, plan.idle)
    return found


def calls_s(peer: Peer, place: Environment, on: Lab, count: int) -> list[float]:
    """Seconds from just before a publish until its result is there, one after the other, with one worker."""
    with running(peer.of_size(1), place, on, CAPACITY, 1.0) as arm:
        arm.boot(20, processes=1)
        arm.publish("call", max(5, count // 10))  # the first calls connect
        took_s: list[float] = arm.publish("call", count)["took_s"]
        arm.wait_handled()
    return took_s


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals that can be judged with the arms that ran."""
    floor = arms_goals.noise(result) or 0.0
    ratios = [*drains(result), *publishes(result), *calls(result)]
    return [*(replace(goal, floor=floor) for goal in ratios), *dispatch.goals(result["dispatch_us"]), *balance(result)]


def drains(result: Mapping[str, Any]) -> list[Goal]:
    versus, drain_of = arms_goals.versus, arms_goals.drain
    plain = PLAIN if PLAIN in result["arms"] else None
    found = versus(result, "tasks: no-op drain, x a plain handler", 0.5, drain_of, plain, TASK)
    without, kept = _split(result)
    rival = arms_goals.best(without, drain_of, PYTHON, guarantee=AT_LEAST_ONCE)
    found += versus(result, "tasks: no-op drain, x best Python peer", 10, drain_of, rival, TASK)
    rival = arms_goals.best(kept, drain_of, PYTHON, guarantee=AT_LEAST_ONCE)
    return found + versus(result, "tasks: drain, results kept, x best Python peer", 8, drain_of, rival, RESULTS)


def _split(result: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The result with the arms that keep none, and with those that keep results."""
    keeping = {name: of for name, of in result["arms"].items() if "call_s" in of["rounds"][0]}
    others = {name: of for name, of in result["arms"].items() if name not in keeping}
    return {"arms": others}, {"arms": keeping}


def publishes(result: Mapping[str, Any]) -> list[Goal]:
    found = []
    if PLAIN in result["arms"]:
        for name, figure in (("one by one", single), ("many at once", arms_goals.bulk)):
            found += arms_goals.versus(result, f"tasks: publish, {name}, x plain", 0.5, figure, PLAIN, TASK)
    return found


def single(one: Mapping[str, Any]) -> float:
    return float(one["single_per_s"])


def call_ms(of: Mapping[str, Any], share: float = 0.5) -> list[float]:
    """The percentile of each round."""
    return [1000 * stats.percentile(one["call_s"], share) for one in of["rounds"]]


def calls(result: Mapping[str, Any]) -> list[Goal]:
    _, kept = _split(result)
    medians = {
        name: statistics.median(call_ms(of))
        for name, of in kept["arms"].items()
        if of["language"] == PYTHON and of["guarantee"] == AT_LEAST_ONCE
    }
    if not medians or RESULTS not in kept["arms"]:
        return []
    rival = min(medians, key=lambda name: medians[name])
    ours = call_ms(kept["arms"][RESULTS])
    note = f"{rival}: {medians[rival]:.2f} ms; ours {statistics.median(ours):.2f} ms"
    ratio = stats.ratio(ours, call_ms(kept["arms"][rival]))
    return [Goal("tasks: publish and result p50, x best Python peer", AT_MOST, 0.5, ratio, note)]


def balance(result: Mapping[str, Any]) -> list[Goal]:
    """The exact check of the ids of our tasks."""
    ours = [result["arms"][name] for name in (TASK, RESULTS) if name in result["arms"]]
    return [arms_goals.each_once("tasks: lost or duplicated", ours)]


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line for each arm, the fastest first: medians of all rounds, ranges of the drains."""
    order = sorted(
        result["arms"].items(), key=lambda item: -statistics.median(map(arms_goals.drain, item[1]["rounds"]))
    )
    plain = [arms_goals.drain(one) for one in result["arms"].get(PLAIN, {"rounds": ()})["rounds"]]
    return [_row(name, of, statistics.median(plain) if plain else None) for name, of in order]


def _row(name: str, of: Mapping[str, Any], plain: float | None) -> list[str]:
    rounds = of["rounds"]
    rates = [arms_goals.drain(one) for one in rounds]
    rate = statistics.median(rates)

    def median(figure: str) -> float:
        return statistics.median(one["drain"][figure] for one in rounds)

    waits = [f"{statistics.median(call_ms(of, share)):.2f}" if "call_s" in rounds[0] else "-" for share in (0.5, 0.99)]
    return [
        name, f"{rate:,.0f} ({min(rates):,.0f}-{max(rates):,.0f})", f"{rate / plain:.3f}" if plain else "-",
        f"{median('bulk_per_s'):,.0f}", f"{statistics.median(map(single, rounds)):,.0f}",
        f"{median('worker_cpu_us'):.1f}", f"{median('server_cpu_us'):.1f}", f"{median('commands_per_message'):.2f}",
        *waits, str(sum(one["ids"]["lost"] for one in rounds)), str(sum(one["ids"]["duplicated"] for one in rounds)),
        of["guarantee"],
    ]  # fmt: skip
