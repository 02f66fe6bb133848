"""Threads, forks and deaths of processes that use the library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.context import attempts_of
from bizzmq.testing.layout import Keys
from tests.scripts.containers import look
from tests.support.paths import ROOT
from tests.support.recording_handler import RecordingHandler

SHORT = LeaseOptions(beat_s=0.1, lease_s=0.8, scan_s=0.2)

FORKING = """
import json, os, sys
from bizzmq import BizzMQ
mq = BizzMQ(sys.argv[1])
mq.create_queue("q")
ids = [mq.publish_message_to_queue("q", "before")]
reading, writing = os.pipe()
pid = os.fork()
own = [mq.publish_message_to_queue("q", [pid != 0, number]) for number in range(20)]
if pid == 0:
    os.write(writing, json.dumps(own).encode())
    os._exit(0)
os.close(writing)
theirs = json.loads(os.read(reading, 65536))
os.waitpid(pid, 0)
own.append(mq.publish_message_to_queue("q", "after"))
mq.close()
print(json.dumps([ids, own, theirs]))
"""
HANDLING = """
import sys, threading
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.consumer.lease import LeaseOptions
def handler(body, context):
    print(context.id, flush=True)
    threading.Event().wait()
new = lambda: Broker(Connection(sys.argv[1]))
InProcessConsumer(new, "q", handler, LeaseOptions(beat_s=0.1)).start()
threading.Event().wait()
"""
ENDING = """
import sys, threading
from bizzmq import BizzMQ
handling = threading.Event()
def handler(body):
    handling.set()
    threading.Event().wait(0.1)
mq = BizzMQ(sys.argv[1])
mq.publish_messages_to_queue("q", [1, 2, 3])
mq.consume_message_from_queue("q", handler)
handling.wait()
"""


def command(code: str, url: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", code, url]


@pytest.fixture
def victim(url: str, queue: str) -> Iterator[Callable[[], subprocess.Popen]]:
    """Start a process that handles a message of `q` and never ends."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen(command(HANDLING, url), stdout=subprocess.PIPE, cwd=ROOT, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_eight_threads_publish_at_once(mq: BizzMQ, redis: Redis, queue: str) -> None:
    ids: dict[int, list[str]] = {}

    def publish(number: int) -> None:
        ids[number] = [mq.publish_message_to_queue("q", [number, index]) for index in range(50)]
        ids[number] += mq.publish_messages_to_queue("q", [[number, index] for index in range(50, 200)])

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    waiting = look(redis, "q").waiting
    assert len(set(waiting)) == len(waiting) == 8 * 200
    for number in range(8):
        assert [message_id for message_id in waiting if message_id in set(ids[number])] == ids[number]


def test_a_fork_publishes_under_ids_and_a_connection_of_its_own(url: str, redis: Redis) -> None:
    output = subprocess.run(command(FORKING, url), cwd=ROOT, capture_output=True, check=True, timeout=30).stdout

    before, own, theirs = json.loads(output)
    assert len({*before, *own, *theirs}) == len(before + own + theirs) == 42
    assert set(look(redis, "q").waiting) == {*before, *own, *theirs}
    assert {message_id[13:] for message_id in before + own}.isdisjoint({message_id[13:] for message_id in theirs})


def test_the_message_of_a_killed_consumer_is_requeued_after_its_lease(
    mq: BizzMQ, redis: Redis, url: str, victim: Callable[[], subprocess.Popen],
    consumer_factory: Callable[..., InProcessConsumer],
) -> None:  # fmt: skip
    message_id = mq.publish_message_to_queue("q", "survives")
    process = victim()
    assert process.stdout is not None
    assert process.stdout.readline().strip() == message_id
    seen = RecordingHandler()
    consumer_factory(url, "q", seen, SHORT)

    os.kill(process.pid, signal.SIGKILL)

    assert seen.wait(1, timeout_s=SHORT.lease_s + 2 * SHORT.scan_s + 2.0) == ["survives"]
    (context,) = seen.contexts
    assert (context.id, context.delivery, context.retry_count) == (message_id, 2, 0)
    assert (attempts_of(context).crashes, attempts_of(context).requeues) == (0, 1)


def test_a_living_consumer_keeps_a_long_running_message(
    mq: BizzMQ, redis: Redis, url: str, victim: Callable[[], subprocess.Popen],
    consumer_factory: Callable[..., InProcessConsumer],
) -> None:  # fmt: skip
    mq.publish_message_to_queue("q", "long")
    process = victim()
    assert process.stdout is not None
    process.stdout.readline()
    seen = RecordingHandler()
    consumer_factory(url, "q", seen, SHORT)
    supervisor = next(name for name in look(redis, "q").supervisors if f":{process.pid}:" in name)
    beats = int(redis.hget(Keys("q").supervisors, supervisor))

    while int(redis.hget(Keys("q").supervisors, supervisor)) < beats + 20:  # 2 s: more than two leases
        assert seen.bodies == []

    assert list(look(redis, "q").processing.values()) != []


def test_a_process_that_ends_without_stopping_its_consumer_releases_everything(
    mq: BizzMQ, redis: Redis, url: str, queue: str
) -> None:
    result = subprocess.run(command(ENDING, url), cwd=ROOT, capture_output=True, check=False, text=True, timeout=30)

    assert (result.returncode, result.stderr) == (0, "")
    after = look(redis, "q")
    assert (after.workers, after.processing, after.supervisors) == ({}, {}, {})
    assert mq.stats("q").acked >= 1
    assert mq.stats("q").acked + mq.stats("q").waiting == 3
