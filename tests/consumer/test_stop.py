"""Stopping a consumer: the running message finishes, unstarted messages are released, nothing is blamed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, Context, QueueNotFoundError
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.recording_handler import RecordingHandler


class ClaimGate:
    """A handler that waits until it is opened; `at` is the body that waits."""

    def __init__(self, at: Any = None) -> None:
        self.at = at
        self.entered = threading.Event()
        self.go = threading.Event()
        self.ended: list[Any] = []

    def __call__(self, body: Any) -> None:
        if self.at in (None, body):
            self.entered.set()
            assert self.go.wait(60)
        self.ended.append(body)


def test_stop_waits_for_the_running_message_and_acks_it(mq: BizzMQ, redis: Redis, queue: str) -> None:
    gate = ClaimGate()
    mq.publish_message_to_queue("q", 1)
    stop = mq.consume_message_from_queue("q", gate)
    assert gate.entered.wait(60)
    ended_when_stopped: list[Any] = []

    stopping = threading.Thread(target=lambda: (stop(), ended_when_stopped.extend(gate.ended)))
    stopping.start()
    gate.go.set()
    stopping.join()

    assert ended_when_stopped == [1]
    assert mq.stats("q").acked == 1
    held = look(redis, "q")
    assert (held.ids(), held.workers, held.supervisors) == (set(), {}, {})


def test_unstarted_messages_are_released_in_order_and_without_blame(mq: BizzMQ, redis: Redis, queue: str) -> None:
    ids = mq.publish_messages_to_queue("q", range(300))
    gate = ClaimGate(at=150)
    stop = mq.consume_message_from_queue("q", gate)
    assert gate.entered.wait(60)
    eventually(lambda: mq.stats("q").processing > 1, what="more than the running one to be held")

    stopping = threading.Thread(target=stop)
    stopping.start()
    eventually(lambda: stop.__self__.is_stop_requested)  # type: ignore[attr-defined]
    gate.go.set()
    stopping.join()

    started = len(gate.ended)
    assert gate.ended == list(range(151))
    held = look(redis, "q")
    assert held.waiting == tuple(ids[started:])
    assert (held.processing, held.attempts) == ({}, {})
    assert mq.stats("q").acked == started


def test_nothing_is_claimed_after_it(mq: BizzMQ, queue: str) -> None:
    seen = RecordingHandler()
    stop = mq.consume_message_from_queue("q", seen)
    stop()

    mq.publish_message_to_queue("q", 1)

    assert mq.stats("q").waiting == 1
    assert seen.bodies == []


def test_it_may_be_called_twice_and_at_once_from_two_threads(mq: BizzMQ, queue: str) -> None:
    stop = mq.consume_message_from_queue("q", RecordingHandler())
    threads = [threading.Thread(target=stop) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop()


def test_an_idle_consumer_stops_at_once(mq: BizzMQ, queue: str) -> None:
    stop = mq.consume_message_from_queue("q", RecordingHandler())
    registrations = mq._new_broker()
    eventually(lambda: len(registrations.workers("q")) == 1)
    registrations.connection.drop()
    thread = threading.Thread(target=stop)

    thread.start()
    thread.join(4.0)  # it would wait for five seconds

    assert not thread.is_alive()


def test_it_may_be_called_by_a_signal_handler(mq: BizzMQ, queue: str) -> None:
    gate = ClaimGate()
    mq.publish_message_to_queue("q", 1)
    stop = mq.consume_message_from_queue("q", gate)
    assert gate.entered.wait(60)

    def handler(_number: int, _frame: object) -> None:
        gate.go.set()
        stop()

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        eventually(lambda: gate.ended == [1])
    finally:
        signal.signal(signal.SIGUSR1, previous)

    assert mq.stats("q").acked == 1


def test_it_may_be_called_by_the_handler_itself(mq: BizzMQ, redis: Redis, queue: str) -> None:
    stops: list[Callable[[], None]] = []
    ready = threading.Event()

    def handler(body: Any, context: Context) -> None:
        ready.wait(60)
        stops[0]()

    mq.publish_messages_to_queue("q", [1, 2])
    stops.append(mq.consume_message_from_queue("q", handler))
    ready.set()

    eventually(lambda: mq.stats("q").acked == 1 and mq.stats("q").processing == 0)
    stops[0]()
    assert mq.stats("q").waiting == 1
    assert look(redis, "q").workers == {}


def test_closing_the_client_stops_its_consumers(url: str, redis: Redis) -> None:
    gate = ClaimGate()
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        mq.publish_message_to_queue("q", 1)
        mq.consume_message_from_queue("q", gate)
        assert gate.entered.wait(60)
        gate.go.set()

    assert gate.ended == [1]
    assert look(redis, "q").ids() == set()


def test_closing_the_client_closes_its_connections(url: str, redis: Redis) -> None:
    before = len(redis.client_list())
    mq = BizzMQ(url)
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 1)
    mq.consume_message_from_queue("q", RecordingHandler())

    mq.close()

    eventually(lambda: len(redis.client_list()) <= before, 30.0, "all its connections to be closed")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_consumers_that_come_and_go_leave_no_descriptors_behind(mq: BizzMQ, queue: str) -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    mq.consume_message_from_queue("q", RecordingHandler())()
    before = open_descriptors()

    for _ in range(5):
        mq.consume_message_from_queue("q", RecordingHandler())()

    eventually(lambda: open_descriptors() <= before)


def test_a_queue_that_was_never_created_cannot_be_consumed(mq: BizzMQ, redis: Redis) -> None:
    mq.queues()
    before = len(redis.client_list())

    with pytest.raises(QueueNotFoundError) as caught:  # as long as its frames are kept, nothing is closed by chance
        mq.consume_message_from_queue("nowhere", RecordingHandler())

    eventually(lambda: len(redis.client_list()) <= before, 30.0, "its connections to be closed")
    assert caught.tb is not None
