"""The cost of a message for Redis: commands, bytes on the wire, memory and round trips.

Commands and bytes are counted for single publishes to a pool that claims one message at a time, the most expensive
way: with larger claims and batches they are a fraction of it. Bytes are compared for two sizes of payload, so that
only the payload counts.
"""

from __future__ import annotations

import time
from typing import Any, Mapping

from bench.fair.arm import running
from bench.fair.delay import DelayingProxy
from bench.fair.lab import Lab, lab
from bench.fair.raw import Raw, broker_of, claim_command, publish_commands
from bench.goals import AT_MOST, Goal, exactly
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.environment import prepare
from bizzmq import BizzMQ
from bizzmq.protocol import ids

PAYLOAD, STORED, TRIPS, DELAY_S = 200, 20_000, 100, 0.002
SENT = ("evalsha", "eval", "bzpopmin", "hgetall", "time", "hello", "client|setinfo", "sadd")
"""The commands that clients send in a steady state; all other counted commands run inside scripts."""


def measure(scale: Scale) -> dict[str, Any]:
    """The figures for each message."""
    count = max(500, scale.plan.singles)
    with lab() as on:
        sent = commands(on, count)
        small, large = wire(on, 0, count), wire(on, PAYLOAD, count)
        return {
            "messages": count,
            "sent": sent,
            "sent_per_message": sum(sent.values()),
            "wire_small": small,
            "wire_large": large,
            "payloads_on_wire": (large - small) / PAYLOAD,
            "memory_per_payload": memory(on) / PAYLOAD,
            "round_trips": {"publish": publish_trips(on), "claim and ack": claim_trips(on)},
        }


def commands(on: Lab, count: int) -> dict[str, float]:
    """The commands that all clients send for a message that is published alone and claimed alone."""
    peer = ARMS["bizzmq --prefetch 1"]
    with running(peer, prepare(peer), on, count + 2000, 1.0) as arm:
        arm.boot(100)
        before = on.snapshot()
        with arm.suspended():
            arm.publish("single", count)
        arm.wait_handled()
        calls = on.snapshot().since(before)["calls"]
    return {name: calls[name] / count for name in SENT if name in calls}


def wire(on: Lab, size: int, count: int) -> float:
    """Bytes on the wire for a message with `size` more bytes of payload: published alone, claimed, acked."""
    raw, claim = _ready(on)
    before = on.snapshot()
    names = [f"{number:022}" for number in range(count)]
    finished: list[Any] = []
    for command in publish_commands("bench", "wire", names, b'{"x":"%s"}' % (b"x" * size)):
        raw.call(*command)
        finished = raw.call(*claim, *finished)[1]
    found = on.snapshot().since(before)["bytes"] / count
    raw.close()
    return float(found)


def memory(on: Lab) -> float:
    """Bytes of Redis memory for each waiting message with 200 bytes of JSON."""
    on.empty()
    with BizzMQ(on.url) as mq:
        mq.create_queue("bench")
        before = int(on.redis.info("memory")["used_memory"])
        mq.publish_messages_to_queue("bench", ["x" * (PAYLOAD - 2)] * STORED)
        return (int(on.redis.info("memory")["used_memory"]) - before) / STORED


def publish_trips(on: Lab) -> float:
    """The round trips of a publish: how much longer it takes for each added second of latency."""
    on.empty()
    with BizzMQ(on.url) as mq, DelayingProxy(on.url) as proxy, BizzMQ(proxy.url) as far:
        mq.create_queue("bench")
        far.publish_message_to_queue("bench", None)
        return _trips(proxy, lambda: far.publish_message_to_queue("bench", None))


def claim_trips(on: Lab) -> float:
    """The round trips of a claim that acks the previous message."""
    raw, claim = _ready(on)
    raw.close()
    with BizzMQ(on.url) as mq, DelayingProxy(on.url) as proxy:
        mq.publish_messages_to_queue("bench", [None] * (2 * TRIPS + 1))
        raw = Raw(proxy.url)
        finished: list[Any] = []

        def one() -> None:
            finished[:] = raw.call(*claim, *finished)[1]

        one()
        found = _trips(proxy, one)
        raw.close()
    return found


def _trips(proxy: DelayingProxy, call: Any) -> float:
    took_s = []
    for delay_s in (0.0, DELAY_S):
        proxy.delay_s = delay_s
        begin_s = time.perf_counter()
        for _ in range(TRIPS):
            call()
        took_s.append(time.perf_counter() - begin_s)
    return (took_s[1] - took_s[0]) / TRIPS / DELAY_S


def _ready(on: Lab) -> tuple[Raw, tuple[Any, ...]]:
    """A raw connection and the claim of the one registered worker, on an empty queue with all scripts loaded."""
    on.empty()
    supervisor = ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    with BizzMQ(on.url) as mq:
        mq.create_queue("bench")
        mq.publish_message_to_queue("bench", None)
    broker = broker_of(on.url)
    broker.register("bench", supervisor, worker)
    held = broker.claim("bench", worker, 1).entries
    broker.claim("bench", worker, 1, [entry[0] for entry in held])
    broker.connection.drop()
    return Raw(on.url), claim_command("bench", worker, 1)


def goals(result: Mapping[str, Any]) -> list[Goal]:
    sent = ", ".join(f"{name} {each:.3f}" for name, each in result["sent"].items())
    trips = result["round_trips"]
    few = 2 + 10 / result["messages"]
    return [
        Goal("commands sent a message (2 + 1/n)", AT_MOST, round(few, 4), exactly(result["sent_per_message"]), sent),
        Goal("payloads on the wire a message", AT_MOST, 2.05, exactly(result["payloads_on_wire"]), "in once, out once"),
        Goal("Redis memory, x a payload of 200 bytes", AT_MOST, 1.7, exactly(result["memory_per_payload"]), "waiting"),
        Goal("round trips of a publish", AT_MOST, 1.5, exactly(trips["publish"]), "by 2 ms of added delay"),
        Goal("round trips of a claim with its ack", AT_MOST, 1.5, exactly(trips["claim and ack"]), "the same way"),
    ]
