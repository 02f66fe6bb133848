"""The yardsticks of the machine, measured in every round: redis-benchmark, and bare loops of our own scripts."""

from __future__ import annotations

import csv
import shutil
import subprocess
import time
from typing import Any, Sequence
from urllib.parse import urlsplit

from bench.fair.lab import Lab
from bench.fair.processes import in_processes
from bench.fair.raw import Raw, broker_of, claim_command, publish_commands
from bizzmq import BizzMQ, QueueOptions
from bizzmq.protocol import ids

QUEUE = "bare"


def claims_per_s(lab: Lab, messages: int, connections: int, prefetch: int) -> float:
    """Messages a second that `connections` bare loops claim and ack, each with its own connection and process."""
    lab.empty()
    supervisor = ids.supervisor_id()
    workers = [ids.worker_id(supervisor, number) for number in range(connections)]
    with BizzMQ(lab.url) as mq:
        mq.create_queue(QUEUE, QueueOptions())
        mq.publish_messages_to_queue(QUEUE, [{"n": n, "us": 0} for n in range(messages)])
    broker = broker_of(lab.url)
    for worker in workers:
        broker.register(QUEUE, supervisor, worker)
        broker.claim(QUEUE, worker, 0)  # the script is loaded
    commands = [claim_command(QUEUE, worker, prefetch) for worker in workers]
    spans = in_processes([_claim_loop] * connections, lab.url, commands)
    broker.connection.drop()
    assert sum(span[2] for span in spans) == messages, "the bare loops have not claimed everything"
    return float(messages / (max(span[1] for span in spans) - min(span[0] for span in spans)))


def _claim_loop(barrier: Any, results: Any, number: int, url: str, commands: Sequence[tuple[Any, ...]]) -> None:
    raw, command = Raw(url), commands[number]
    finished: list[bytes] = []
    count = 0
    barrier.wait()
    begin_s = time.monotonic()
    while True:
        reply = raw.call(*command, *finished)
        if reply[0] != 1:
            break
        finished = reply[1][::-1]
        count += len(finished)
    results.put((begin_s, time.monotonic(), count))


def publishes_per_s(lab: Lab, messages: int) -> float:
    """Single publishes a second by bare calls of the script, with all commands made beforehand."""
    lab.empty()
    with BizzMQ(lab.url) as mq:
        mq.create_queue(QUEUE, QueueOptions())
        first = mq.publish_message_to_queue(QUEUE, {"n": 0, "us": 0})  # the script is loaded
    envelope = lab.redis.hget(f"bizzmq:{{{QUEUE}}}:messages", first)
    assert envelope is not None
    commands = publish_commands(QUEUE, "bare", [f"{first[:-6]}{n:06}" for n in range(messages)], envelope)
    raw = Raw(lab.url)
    begin_s = time.perf_counter()
    for command in commands:
        raw.call(*command)
    took_s = time.perf_counter() - begin_s
    raw.close()
    return messages / took_s


def pop_latencies_s(lab: Lab, samples: int, gap_s: float) -> list[float]:
    """Seconds from just before an LPUSH until a BLPOP in another process returns it, with both idle."""
    lab.empty()
    found = in_processes([_push, _pop], lab.url, samples, gap_s)
    sent_s, got_s = sorted(found, key=lambda of: str(of[0]), reverse=True)
    return [got - sent for sent, got in zip(sent_s[1], got_s[1])]


def _push(barrier: Any, results: Any, _number: int, url: str, samples: int, gap_s: float) -> None:
    raw, sent_s = Raw(url), []
    barrier.wait()
    for n in range(samples):
        time.sleep(gap_s)
        sent_s.append(time.monotonic())
        raw.call("LPUSH", "bare-pop", n)
    results.put(("sent", sent_s))


def _pop(barrier: Any, results: Any, _number: int, url: str, samples: int, _gap_s: float) -> None:
    raw, got_s = Raw(url), []
    barrier.wait()
    for _ in range(samples):
        raw.call("BRPOP", "bare-pop", 30)
        got_s.append(time.monotonic())
    results.put(("got", got_s))


def redis_benchmark(lab: Lab, requests: int) -> dict[str, float]:
    """Requests a second by redis-benchmark with two clients: a claim of one message by EVALSHA, and an LPUSH.

    The claim returns the message that its worker already holds: the cost of a claim without the ack.
    """
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        return {}
    lab.empty()
    broker, supervisor = broker_of(lab.url), ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    with BizzMQ(lab.url) as mq:
        mq.create_queue(QUEUE, QueueOptions())
        mq.publish_message_to_queue(QUEUE, {"n": 0, "us": 0})
    broker.register(QUEUE, supervisor, worker)
    broker.claim(QUEUE, worker, 1)
    broker.connection.drop()
    claim = [str(part) for part in claim_command(QUEUE, worker, 1)]
    return {
        "claim_per_s": _benchmark(program, lab, requests, claim),
        "lpush_per_s": _benchmark(program, lab, requests, ["LPUSH", "bare-list", "x" * 40]),
    }


def _benchmark(program: str, lab: Lab, requests: int, command: Sequence[str]) -> float:
    address = urlsplit(lab.url)
    where = ["-h", str(address.hostname), "-p", str(address.port)]
    reported = subprocess.run(
        [program, *where, "-n", str(requests), "-c", "2", "--csv", *command],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    rows = [row for row in csv.reader(reported.splitlines()) if len(row) > 1 and row[0] != "test"]
    return float(rows[-1][1])
