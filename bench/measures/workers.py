"""No-op drains of pools of several sizes. No goal: it ends where the processors do."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Mapping

from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.goals import Goal
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.environment import prepare
from bench.peers.own import COMMAND
from bizzmq.workers import processors

SIZES = [size for size in (1, 2, 4, 8, 16, 32) if size <= 2 * processors.available()]
KINDS: Mapping[str, tuple[str, int]] = {"default settings": ("--prefetch=64", 1), "--prefetch 1": ("--prefetch=1", 10)}


def measure(scale: Scale) -> dict[str, Any]:
    """Messages a second, by kind and workers."""
    found: dict[str, dict[str, list[float]]] = {kind: {str(size): [] for size in SIZES} for kind in KINDS}
    with lab() as on:
        for number in range(scale.rounds):
            for size in SIZES if number % 2 else SIZES[::-1]:
                for kind in KINDS:
                    found[kind][str(size)].append(per_s(on, kind, size, scale))
    return {"per_s": found}


def per_s(on: Lab, kind: str, workers: int, scale: Scale) -> float:
    option, share = KINDS[kind]
    count = max(1000, scale.plan.most // share)
    command = [*COMMAND, f"--concurrency={workers}", option, "bizzmq_app:handler"]
    peer = replace(ARMS["bizzmq"], workers=[command])
    with running(peer, prepare(peer), on, count + 20_000, 1.0) as arm:
        arm.boot(1000, processes=workers)
        with arm.suspended():
            arm.publish("bulk", count)
            begin_s = time.perf_counter()
        arm.wait_acked()
        return count / (time.perf_counter() - begin_s)


def goals(_result: Mapping[str, Any]) -> list[Goal]:
    return []
