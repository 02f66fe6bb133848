"""The cost of a deep queue, and of empty queues beside a busy one.

It measures the drain rate of the first `CHUNK` messages of a queue with at least 1,000, or the deep number of messages,
behind them; and at each depth the time of a publish and of a claim, by bare calls of the scripts.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any, Mapping

from bench.fair import stats
from bench.fair.arm import running
from bench.fair.lab import Lab, lab
from bench.fair.processes import in_processes
from bench.fair.raw import Raw, broker_of, claim_command, publish_commands
from bench.goals import AT_LEAST, AT_MOST, Goal
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.environment import prepare
from bench.peers.own import COMMAND
from bizzmq import BizzMQ
from bizzmq.protocol import ids

SHALLOW, CHUNK, CALLS, EMPTY = 1000, 300_000, 1500, 1000
_POLL_S = 0.004
"""The polling interval: each poll is a command to the same server."""
SERVED = 199
"""A pool serves at most 200 queues."""


def measure(scale: Scale) -> dict[str, Any]:
    """Rates in messages a second, calls in seconds; measured in turns."""
    rates: dict[str, list[float]] = {"shallow": [], "deep": [], "beside empty": [], "serving empty": []}
    calls: dict[str, list[float]] = {"shallow": [], "deep": []}
    with lab() as on:
        for number in range(scale.rounds):
            order = [("shallow", SHALLOW), ("deep", scale.depth)]
            for name, depth in order if number % 2 else order[::-1]:
                rates[name].append(chunk_per_s(on, depth, 0, served=False))
                calls[name].append(statistics.median(calls_s(on, depth)))
            rates["beside empty"].append(chunk_per_s(on, SHALLOW, EMPTY, served=False))
            rates["serving empty"].append(chunk_per_s(on, SHALLOW, SERVED, served=True))
    return {"depth": scale.depth, "chunk": CHUNK, "empty": EMPTY, "served": SERVED, "rates": rates, "calls_s": calls}


def chunk_per_s(on: Lab, depth: int, empty: int, *, served: bool) -> float:
    """The rate of a pool that drains a chunk, with `depth` messages behind it and `empty` empty queues."""
    names = [f"empty-{number}" for number in range(empty)]
    peer = ARMS["bizzmq"]
    if served:
        options = [f"--queue={name}" for name in names]
        peer = replace(peer, workers=[[*COMMAND, *options, "--concurrency=2", "bizzmq_app:handler"]])
    with running(peer, prepare(peer), on, depth + CHUNK + 5000, 1.0) as arm:
        with BizzMQ(on.url) as mq:
            for name in names:
                mq.create_queue(name)
        arm.boot(3000)
        with arm.suspended():
            arm.publish("bulk", depth + CHUNK)
            on.wait_written()
            begin_s = time.perf_counter()
        while True:
            acked = int(on.redis.hget("bizzmq:{bench}:stats", "acked") or 0) - (arm.published - depth - CHUNK)
            if acked >= CHUNK:
                return acked / (time.perf_counter() - begin_s)
            time.sleep(_POLL_S)


def calls_s(on: Lab, depth: int) -> list[float]:
    """Seconds of a publish, and of a claim with its ack, at this depth."""
    on.empty()
    supervisor = ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    (last,) = in_processes([_publish], on.url, depth)  # this process keeps the identity under which it has published
    broker = broker_of(on.url)
    broker.register("bench", supervisor, worker)
    broker.claim("bench", worker, 0)
    broker.connection.drop()
    on.wait_written()
    claim, raw, finished, took_s = claim_command("bench", worker, 1), Raw(on.url), (), []
    names = [f"{last[:-6]}x{number:05}" for number in range(CALLS)]
    for command in publish_commands("bench", "depth", names, b"{}"):
        begin_s = time.perf_counter()
        raw.call(*command)
        finished = tuple(raw.call(*claim, *finished)[1])
        took_s.append(time.perf_counter() - begin_s)
    raw.close()
    return took_s


def _publish(_barrier: Any, results: Any, _number: int, url: str, depth: int) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("bench")
        results.put(mq.publish_messages_to_queue("bench", [{"n": n} for n in range(depth)])[-1])


def goals(result: Mapping[str, Any]) -> list[Goal]:
    rates, calls = result["rates"], result["calls_s"]
    note = f"{SHALLOW:,} waiting: {statistics.median(rates['shallow']):,.0f}/s"
    return [
        Goal(f"drain at {result['depth']:,} waiting, x at {SHALLOW:,}", AT_LEAST, 0.9,
             stats.ratio(rates["deep"], rates["shallow"]), note),
        Goal(f"publish and claim at {result['depth']:,} waiting, x at {SHALLOW:,}", AT_MOST, 1.1,
             stats.ratio(calls["deep"], calls["shallow"]), f"{1e6 * statistics.median(calls['shallow']):,.0f} us"),
        Goal(f"drain beside {EMPTY:,} empty queues, x alone", AT_LEAST, 0.9,
             stats.ratio(rates["beside empty"], rates["shallow"]), "which the pool does not serve"),
        Goal(f"drain serving {SERVED} empty queues, too, x alone", AT_LEAST, 0.9,
             stats.ratio(rates["serving empty"], rates["shallow"]), "as many as one pool can serve"),
    ]  # fmt: skip
