"""All measurements of a comparison by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from bench.fair.session import Plan
from bench.goals import Goal
from bench.measures import arms, arms_goals, cpu, deaths, depth, fairness, features, own, tasks, work, workers
from bench.measures.scale import Scale
from bench.peers import ARMS, QUICK
from bench.peers.own import OWN_ARMS


@dataclass(frozen=True)
class Measure:
    """A measurement, and the function that derives its goals from the result."""

    what: str
    measure: Callable[[Scale], Any]
    goals: Callable[[Any], Sequence[Goal]]


MEASURES: Mapping[str, Measure] = {
    "arms": Measure("drain, enqueue and latency of BizzMQ and its peers", arms.measure, arms_goals.goals),
    "tasks": Measure("tasks and their results, of BizzMQ and its peers", tasks.measure, tasks.goals),
    "features": Measure("what each feature costs, and the same of peers", features.measure, features.goals),
    "cpu": Measure("CPU-bound handlers against a bare loop", cpu.measure, cpu.goals),
    "fairness": Measure("short messages among long ones", fairness.measure, fairness.goals),
    "recovery": Measure("from SIGKILL until the message runs again", own.measure_recovery, own.recovery_goals),
    "deaths": Measure("what each arm does about a killed worker", deaths.measure, deaths.goals),
    "depth": Measure("deep queues, and many empty ones", depth.measure, depth.goals),
    "work": Measure("commands, bytes, memory and round trips", work.measure, work.goals),
    "workers": Measure("throughput by the number of workers", workers.measure, workers.goals),
    "idle": Measure("a pool that has nothing to do", own.measure_idle, own.idle_goals),
    "memory": Measure("what an extra worker costs", own.measure_memory, own.memory_goals),
}
OWN_NAMES = tuple(peer.name for peer in OWN_ARMS)


def full(peers: Sequence[str] = ()) -> Scale:
    """The full scale: for a quiet machine, takes about an hour."""
    return Scale(
        arms=(*OWN_NAMES, *(peers or [name for name in ARMS if name not in OWN_NAMES])),
        plan=Plan(drain_s=1.5, most=250_000, singles=2000, idle=400, load_s=3.0),
        rounds=5, cpu_rounds=10, cpu_s=2.0, cpu_messages=60, depth=1_000_000, kills=100,
        idle_s=20.0, memory_messages=10_000, memory_workers=8,
        patience_s=330.0, scaled_peers=peers or QUICK,
    )  # fmt: skip


def quick(peers: Sequence[str] = ()) -> Scale:
    """The quick scale: a quarter of an hour on two processors."""
    return Scale(
        arms=(*OWN_NAMES, *(peers or QUICK)),
        plan=Plan(drain_s=0.5, most=100_000, singles=300, idle=300, load_s=1.2),
        rounds=3, cpu_rounds=3, cpu_s=1.0, cpu_messages=60, depth=200_000, kills=30,
        idle_s=8.0, memory_messages=1000, memory_workers=4,
        patience_s=40.0,
    )  # fmt: skip


def tiny(peers: Sequence[str] = ()) -> Scale:
    """The smallest scale: shows that everything works; its figures mean nothing."""
    return Scale(
        arms=(*OWN_NAMES, *peers),
        plan=Plan(drain_s=0.05, most=3000, singles=20, idle=10, load_s=0.2),
        rounds=2, cpu_rounds=2, cpu_s=0.1, cpu_messages=2, depth=2000, kills=3,
        idle_s=0.5, memory_messages=5, memory_workers=2,
        patience_s=2.0,
    )  # fmt: skip


SCALES: Mapping[str, Callable[[Sequence[str]], Scale]] = {"full": full, "quick": quick, "tiny": tiny}
