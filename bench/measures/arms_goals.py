"""The goals that compare arms with each other and with the bare loops."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any, Callable, Iterable, Mapping, Sequence

from bench.fair import stats
from bench.goals import AT_LEAST, AT_MOST, Goal, exactly
from bench.peers.peer import AT_LEAST_ONCE, NODE, PYTHON, RUBY

OWN, AGAIN, ONE, JSON = "bizzmq", "bizzmq again", "bizzmq --prefetch 1", "bizzmq, json"
Rounds = Sequence[Mapping[str, Any]]


def goals(result: Mapping[str, Any]) -> list[Goal]:
    """The goals that can be judged with the arms that ran."""
    if OWN not in result["arms"]:
        return []
    floor = noise(result) or 0.0
    ratios = [*drains(result), *enqueues(result), *idle(result), *loads(result)]
    return [*(replace(goal, floor=floor) for goal in ratios), *balance(result)]


def drain(one: Mapping[str, Any]) -> float:
    return float(one["drain"]["per_s"])


def noise(
    result: Mapping[str, Any],
    figure: Callable[[Mapping[str, Any]], float] = drain,
    ours: str = OWN,
    again: str = AGAIN,
) -> float | None:
    """The noise floor, from our two equal arms: smaller differences decide nothing. None if one of them did not run."""
    arms = result["arms"]
    if ours not in arms or again not in arms:
        return None
    return stats.noise_floor(series(arms[ours]["rounds"], figure), series(arms[again]["rounds"], figure))


def bulk(one: Mapping[str, Any]) -> float:
    return float(one["drain"]["bulk_per_s"])


def series(rounds: Rounds, figure: Callable[[Mapping[str, Any]], float]) -> list[float]:
    return [figure(one) for one in rounds]


def best(result: Mapping[str, Any], figure: Callable[[Mapping[str, Any]], float], *languages: str,
         guarantee: str = "") -> str | None:  # fmt: skip
    """The arm with the highest median in these languages, and with this guarantee if one is given."""
    fitting = {
        name: statistics.median(series(of["rounds"], figure))
        for name, of in result["arms"].items()
        if of["language"] in languages and guarantee in ("", of["guarantee"])
    }
    return max(fitting, key=lambda name: fitting[name]) if fitting else None


def versus(result: Mapping[str, Any], name: str, limit: float, figure: Callable[[Mapping[str, Any]], float],
           rival: str | None, ours: str = OWN) -> list[Goal]:  # fmt: skip
    """One goal, if the rival and our arm both ran."""
    arms = result["arms"]
    if rival is None or ours not in arms:
        return []
    above, below = series(arms[ours]["rounds"], figure), series(arms[rival]["rounds"], figure)
    rates = f"{statistics.median(below):,.0f}/s; ours {statistics.median(above):,.0f}/s"
    note = f"{rival}, {arms[rival]['guarantee']}: {rates}"
    return [Goal(name, AT_LEAST, limit, stats.ratio(above, below), note)]


def drains(result: Mapping[str, Any]) -> list[Goal]:
    rival = best(result, drain, PYTHON, guarantee=AT_LEAST_ONCE)
    found = versus(result, "no-op drain, 2 workers, x best Python peer", 12, drain, rival)
    found += versus(result, "no-op drain, x BullMQ on Node", 8, drain, best(result, drain, NODE))
    found += versus(result, "no-op drain, x Sidekiq", 8, drain, best(result, drain, RUBY))
    found += versus(result, "--prefetch 1, x best Python peer", 2, drain, rival, ONE)
    if ONE in result["arms"]:
        ours = series(result["arms"][ONE]["rounds"], drain)
        bare = [one["claims_2x1_per_s"] for one in result["yardsticks"]]
        note = f"two bare loops, a connection each: {statistics.median(bare):,.0f}/s"
        found.append(
            Goal("--prefetch 1, x bare loops of its claim script", AT_LEAST, 0.8, stats.ratio(ours, bare), note)
        )
    return found


def enqueues(result: Mapping[str, Any]) -> list[Goal]:
    rival = best(result, bulk, PYTHON, NODE, guarantee=AT_LEAST_ONCE)
    found = versus(result, "enqueue, many at once, x best peer's bulk call", 3, bulk, rival)
    found += versus(result, "enqueue, many at once, x Sidekiq's", 3, bulk, best(result, bulk, RUBY))
    ours = [one["single_per_s"] for one in result["arms"][OWN]["rounds"]]
    bare = [one["publishes_per_s"] for one in result["yardsticks"]]
    note = f"EVALSHA of its script over one raw connection: {statistics.median(bare):,.0f}/s"
    return [*found, Goal("single publishes, x bare script calls", AT_LEAST, 0.8, stats.ratio(ours, bare), note)]


def idle(result: Mapping[str, Any]) -> list[Goal]:
    """The latency of an idle pool relative to a blocking pop: percentiles and their ratio by rounds."""
    found = []
    for share, name, limit in ((0.5, "p50", 2.0), (0.99, "p99", 3.0)):
        ours = [stats.percentile(one["idle_s"], share) for one in result["arms"][OWN]["rounds"]]
        bare = [stats.percentile(one["pop_s"], share) for one in result["yardsticks"]]
        note = f"BRPOP between two processes: {1e6 * statistics.median(bare):,.0f} us"
        found.append(Goal(f"idle latency {name}, x bare pop", AT_MOST, limit, stats.ratio(ours, bare), note))
    return found


def loads(result: Mapping[str, Any]) -> list[Goal]:
    """p99 under load relative to the best peer that kept up, with any guarantee."""
    found = []
    for name, per_s in result["loads_per_s"].items():
        p99 = {arm: load_p99(of["rounds"], name) for arm, of in result["arms"].items() if holds(of["rounds"], name)}
        rivals = {arm: values for arm, values in p99.items() if result["arms"][arm]["language"] in (PYTHON, NODE, RUBY)}
        title = f"p99 at {name} load, x best peer"
        if OWN not in p99:
            found.append(
                Goal(title, AT_MOST, 1, exactly(float("inf")), f"{per_s:.0f}/s of 4 ms: our pool did not keep up")
            )
        elif rivals:
            rival = min(rivals, key=lambda arm: statistics.median(rivals[arm]))
            note = (f"{per_s:.0f}/s of 4 ms; {rival}: {1e3 * statistics.median(rivals[rival]):,.1f} ms,"
                    f" of {len(rivals)} that kept up")  # fmt: skip
            found.append(Goal(title, AT_MOST, 1, stats.ratio(p99[OWN], rivals[rival]), note))
    return found


def load_p99(rounds: Rounds, load: str) -> list[float]:
    return [stats.percentile(one["load_s"][load], 0.99) for one in rounds if "load_s" in one]


def holds(rounds: Rounds, load: str) -> bool:
    """Whether it keeps up: in the last quarter of the messages the median wait is below 100 ms."""
    waits = [one["load_s"][load] for one in rounds if "load_s" in one]
    return bool(waits) and statistics.median(statistics.median(each[-len(each) // 4 :]) for each in waits) < 0.1


def balance(result: Mapping[str, Any]) -> list[Goal]:
    """The exact check of the ids of our arms."""
    ours = [result["arms"][name] for name in (OWN, AGAIN, ONE, JSON) if name in result["arms"]]
    return [each_once("messages lost or duplicated", ours)]


def each_once(name: str, arms: Iterable[Mapping[str, Any]]) -> Goal:
    """The goal that no message of these arms was lost, or handled more than once."""
    ids = [one["ids"] for of in arms for one in of["rounds"]]
    wrong = sum(one["lost"] + one["duplicated"] + one["foreign"] for one in ids)
    published = sum(one["published"] for one in ids)
    return Goal(name, AT_MOST, 0, exactly(wrong), f"of {published:,}, every id checked")
