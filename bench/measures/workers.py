"""No-op drains of pools of several sizes, and of one worker against one bare loop: what of a connection is left."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any, Mapping

from bench.fair import stats, yardsticks
from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.goals import AT_LEAST, Goal
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.environment import prepare
from bench.peers.own import COMMAND
from bizzmq.workers import processors

SIZES = [size for size in (1, 2, 4, 8, 16, 32) if size <= 2 * processors.available()]
ONE = "--prefetch 1"
KINDS: Mapping[str, tuple[str, int]] = {"default settings": ("--prefetch=64", 1), ONE: ("--prefetch=1", 10)}


def measure(scale: Scale) -> dict[str, Any]:
    """Messages a second, by kind and workers; and of the bare loop that claims one message at a time."""
    found: dict[str, dict[str, list[float]]] = {kind: {str(size): [] for size in SIZES} for kind in KINDS}
    bare: list[float] = []
    with lab() as on:
        for number in range(scale.rounds):
            bare.append(yardsticks.claims_per_s(on, max(1000, scale.plan.most // KINDS[ONE][1]), 1, 1))
            for size in SIZES if number % 2 else SIZES[::-1]:
                for kind in KINDS:
                    found[kind][str(size)].append(per_s(on, kind, size, scale))
    return {"per_s": found, "bare_per_s": bare}


def per_s(on: Lab, kind: str, workers: int, scale: Scale) -> float:
    option, share = KINDS[kind]
    count = max(1000, scale.plan.most // share)
    command = [*COMMAND, f"--concurrency={workers}", option, "bizzmq_app:handler"]
    peer = replace(ARMS["bizzmq"], workers=[command])
    with running(peer, prepare(peer), on, count + 20_000, 1.0) as arm:
        arm.boot(1000, processes=workers)
        with arm.suspended():
            arm.publish("bulk", count)
            on.wait_written()
            begin_s = time.perf_counter()
        arm.wait_acked()
        return count / (time.perf_counter() - begin_s)


def goals(result: Mapping[str, Any]) -> list[Goal]:
    note = f"one worker, one loop over one connection: {statistics.median(result['bare_per_s']):,.0f}/s"
    return [Goal("--prefetch 1, one worker, x a bare loop", AT_LEAST, 0.8,
                 stats.ratio(result["per_s"][ONE]["1"], result["bare_per_s"]), note)]  # fmt: skip
