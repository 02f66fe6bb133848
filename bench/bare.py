"""The yardstick: the same claim script in a bare loop, without worker, handler or bookkeeping."""

from __future__ import annotations

import time

from bench.server import Server
from bizzmq import QueueOptions
from bizzmq.broker.workers import DeadWorker
from bizzmq.protocol import ids

QUEUE = "bench-bare"


def messages_per_s(server: Server, messages: int, prefetch: int) -> float:
    """Messages a second that one connection claims and acks, `prefetch` at a time."""
    broker = server.broker
    server.mq.create_queue(QUEUE, QueueOptions())
    server.mq.publish_messages_to_queue(QUEUE, [{"n": n} for n in range(messages)])
    supervisor = ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    broker.register(QUEUE, supervisor, worker)
    finished: list[bytes] = []
    begin_s = time.perf_counter()
    while True:
        claimed = broker.claim(QUEUE, worker, prefetch, finished)
        if not claimed.entries:
            break
        finished = [entry[0] for entry in claimed.entries]
    took_s = time.perf_counter() - begin_s
    broker.requeue(QUEUE, worker, DeadWorker("stopped"))
    broker.unregister(QUEUE, supervisor)
    return messages / took_s
