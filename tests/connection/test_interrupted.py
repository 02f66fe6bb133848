"""R26: a signal handler raises at any point of a call. The exception propagates, and the next call is correct."""

from __future__ import annotations

import threading
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.support.interrupts import (
    CALLS,
    ON_ONE_SERVER,
    QUEUE,
    Storm,
    interrupt_at_each,
    interrupt_calls,
    judge_of,
    seeded,
)

# A call interrupted while it opens or closes a socket may leave the socket to the garbage collector.
pytestmark = [
    pytest.mark.timeout(120, method="thread"),  # the other method needs the signal that is used here
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def storm() -> Iterator[Storm]:
    made = Storm(seeded())
    yield made
    made.close()


@pytest.mark.parametrize("name", ON_ONE_SERVER)
def test_an_exception_at_some_instructions_of_bizzmq(mq: BizzMQ, redis: Any, name: str) -> None:
    interrupt_at_each(mq, judge_of(mq, redis), CALLS[name], 3001 if name == "publish many" else 13)


@pytest.mark.matrix
@pytest.mark.timeout(600, method="thread")
@pytest.mark.parametrize("name", ON_ONE_SERVER)
def test_an_exception_at_each_instruction_of_bizzmq(mq: BizzMQ, redis: Any, name: str) -> None:
    interrupt_at_each(mq, judge_of(mq, redis), CALLS[name], 101 if name == "publish many" else 1)


def test_signal_handlers_that_raise(mq: BizzMQ, redis: Any, storm: Storm) -> None:
    interrupt_calls(storm, mq, judge_of(mq, redis), ON_ONE_SERVER, 300)


@pytest.mark.matrix
@pytest.mark.timeout(600, method="thread")
def test_3000_signal_handlers_that_raise(mq: BizzMQ, redis: Any, storm: Storm) -> None:
    interrupt_calls(storm, mq, judge_of(mq, redis), ON_ONE_SERVER, 3000)


@pytest.mark.parametrize(
    "rounds", [40, pytest.param(1500, marks=[pytest.mark.matrix, pytest.mark.timeout(900, method="thread")])]
)
def test_a_consumer_that_is_started_and_stopped_under_signals_that_raise(
    mq: BizzMQ, url: str, storm: Storm, rounds: int
) -> None:
    """After any interruption `close` ends every consumer, and every message is handled."""
    mq.create_queue(QUEUE)
    seen: set[int] = set()
    for number in range(rounds):
        mq.publish_message_to_queue(QUEUE, number)
        client = BizzMQ(url)
        stops: list[Callable[[], None]] = []
        storm.over(lambda: stops.append(client.consume_message_from_queue(QUEUE, seen.add)), 0.02)  # noqa: B023
        for stop in stops:
            storm.over(stop, 0.02)
        client.close()
        eventually(lambda: consumers() == [], 30, consumers)
    with BizzMQ(url) as last:
        last.consume_message_from_queue(QUEUE, seen.add)
        eventually(lambda: seen == set(range(rounds)), 30)


def consumers() -> list[str]:
    """The consumer threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("bizzmq-")]


TROUBLES: dict[str, Callable[[Redis], object]] = {
    "none": bool,
    "scripts forgotten": lambda redis: redis.script_flush(),
    "connections closed": lambda redis: redis.client_kill_filter(_type="normal", skipme=True),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_caller_that_handles_the_exception_of_a_signal_can_publish(
    mq: BizzMQ, redis: Redis, storm: Storm, trouble: str
) -> None:
    """For example a handler that reached its time limit and hands its message over."""
    mq.create_queue(QUEUE)
    mq.publish_message_to_queue(QUEUE, "before")
    TROUBLES[trouble](redis)
    handed_over: list[str] = []

    def run() -> None:
        try:
            while True:
                pass
        except BaseException:
            handed_over.append(mq.publish_message_to_queue(QUEUE, "handed over"))
            raise

    struck = storm.over(run, 0.01)

    assert struck.was_interrupted
    assert handed_over[0] in redis.hkeys(Keys(QUEUE).messages)
    assert mq.stats(QUEUE).published == 2
