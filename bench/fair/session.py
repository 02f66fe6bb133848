"""One arm in one round: boot, warm-up, drain, enqueue, latency, and the exact check of its ids."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import psutil

from bench.fair.arm import Arm, running
from bench.fair.lab import Lab
from bench.fair.tallies import check
from bench.peers.environment import Environment
from bench.peers.peer import Peer

CAPACITY = 500_000
LEAST = 200


@dataclass(frozen=True)
class Plan:
    """The amounts of one session.

    Attributes:
        drain_s: how long a drain should take, by the rate in the warm-up.
        most: the most messages in a drain.
        idle: the number of messages to idle workers, one every `gap_s`.
        loads: messages a second by name; each handler works for `work_us`.
    """

    drain_s: float
    most: int
    singles: int
    idle: int
    gap_s: float = 0.004
    load_s: float = 1.5
    loads: Tuple[Tuple[str, float], ...] = ()
    work_us: int = 4000


def session(peer: Peer, place: Environment, lab: Lab, plan: Plan, turns_per_us: float) -> dict[str, Any]:
    """Run all parts; for a second arm of our own only the drain."""
    with running(peer, place, lab, CAPACITY, turns_per_us) as arm:
        arm.boot(20)
        found: dict[str, Any] = {"boot_s": arm.boot_s, "drain": drain(arm, plan)}
        if not peer.is_own or peer.name == "bizzmq":
            found["single_per_s"] = singles(arm, plan.singles)
            found["idle_s"] = idle(arm, plan)
            found["load_s"] = {name: load(arm, rate, plan) for name, rate in plan.loads}
        found["pss_mb"] = sum(_pss(process) for process in arm.processes()) / 1e6
        found["ids"] = check(arm.tallies.counts(), arm.published)
    return found


def warm_up(arm: Arm, plan: Plan) -> int:
    """Publish and drain for a while; returns the number of messages that would take `drain_s`."""
    count, took_s = 50, 0.0
    while took_s < min(0.2, plan.drain_s / 3) and count < plan.most:
        count *= 3
        with arm.suspended():
            arm.publish("bulk", count)
            begin_s = time.perf_counter()
        arm.wait_acked()
        took_s = time.perf_counter() - begin_s
    return max(LEAST, min(plan.most, int(plan.drain_s * count / took_s)))


def drain(arm: Arm, plan: Plan) -> dict[str, Any]:
    """The drain from the release of the barrier to the last ack."""
    count = warm_up(arm, plan)
    first = arm.lab.snapshot()
    with arm.suspended():
        published_s = arm.publisher_cpu_s()
        enqueued_s = arm.publish("bulk", count)["seconds"]
        published_s = arm.publisher_cpu_s() - published_s
        arm.lab.wait_written()
        before, used_s, begin_s = arm.lab.snapshot(), cpu_s(arm), time.perf_counter()
    arm.wait_acked()
    took_s = time.perf_counter() - begin_s
    used_s = cpu_s(arm) - used_s
    last = arm.lab.snapshot()
    all_of_it, draining = last.since(first), last.since(before)
    return {
        "messages": count,
        "per_s": count / took_s,
        "bulk_per_s": count / enqueued_s,
        "publisher_cpu_us": 1e6 * published_s / count,
        "worker_cpu_us": 1e6 * used_s / count,
        "server_cpu_us": 1e6 * draining["cpu_s"] / count,
        "all_server_cpu_us": 1e6 * all_of_it["cpu_s"] / count,
        "commands": {name: calls / count for name, calls in all_of_it["calls"].items()},
        "commands_per_message": sum(all_of_it["calls"].values()) / count,
        "bytes_per_message": all_of_it["bytes"] / count,
    }


def singles(arm: Arm, count: int) -> float:
    """Single publishes a second while the workers are suspended."""
    with arm.suspended():
        took_s = arm.publish("single", count)["seconds"]
    arm.wait_acked()
    return float(count / took_s)


def idle(arm: Arm, plan: Plan) -> list[float]:
    """Seconds from just before a publish until its handler starts, one message at a time."""
    first = arm.published
    sent_s = arm.publish("paced", plan.idle, us=1, at=[plan.gap_s * n for n in range(plan.idle)])["sent_s"]
    return _waits(arm, first, sent_s)


def load(arm: Arm, per_s: float, plan: Plan) -> list[float]:
    """The same under load, counted from the planned time of each publish, so that a late publisher hides no delay."""
    rng, at, now_s = random.Random(1), [], 0.0
    while now_s < plan.load_s:
        at.append(now_s)
        now_s += rng.expovariate(per_s)
    first = arm.published
    begin_s = arm.publish("paced", len(at), us=plan.work_us, at=at)["begin_s"]
    return _waits(arm, first, [begin_s + each_s for each_s in at])


def cpu_s(arm: Arm) -> float:
    """The CPU time of all worker threads and of the reaped children, to 10 ms each."""
    total = 0.0
    for process in arm.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def _waits(arm: Arm, first: int, since_s: Sequence[float]) -> list[float]:
    arm.wait_acked()
    runs = arm.tallies.runs(range(first, arm.published))
    return [runs[n].began_s - each_s for n, each_s in enumerate(since_s, start=first)]


def _pss(process: psutil.Process) -> float:
    try:
        return float(getattr(process.memory_full_info(), "pss", 0))
    except psutil.NoSuchProcess:
        return 0.0
