"""`consume_until_empty`: for tests and scripts that handle the messages of a queue and then continue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Iterator

import pytest

from bizzmq import BizzMQ, ClosedError, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions
from bizzmq.testing.wait import eventually


@pytest.fixture
def mq(url: str) -> Iterator[BizzMQ]:
    with BizzMQ(url) as client:
        client.create_queue("q", QueueOptions(True, 2, retry_backoff_s=0.0))
        yield client


def test_all_messages_are_handled_and_counted(mq: BizzMQ) -> None:
    seen: list[Any] = []
    mq.publish_messages_to_queue("q", range(250))
    mq.publish_message_to_queue("q", "later", MessageOptions(delay_s=0.3))

    assert mq.consume_until_empty("q", seen.append) == 251

    assert sorted(map(str, seen)) == sorted([*map(str, range(250)), "later"])
    assert (mq.stats("q").acked, mq.stats("q").waiting) == (251, 0)
    assert mq.consume_until_empty("q", seen.append) == 0


def test_failures_are_retried_and_counted(mq: BizzMQ) -> None:
    def fail(_body: Any) -> None:
        raise ValueError("no")

    mq.publish_message_to_queue("q", 1)

    assert mq.consume_until_empty("q", fail, timeout_s=timedelta(seconds=30)) == 3
    assert mq.stats("q").dead_lettered == 1


def test_a_queue_that_is_not_empty_in_time_is_an_error_and_loses_nothing(mq: BizzMQ) -> None:
    mq.publish_messages_to_queue("q", [1, 2])
    mq.publish_message_to_queue("q", 3, MessageOptions(delay_s=600))

    def handled_two() -> bool:
        with pytest.raises(TimeoutError, match=r"the queue 'q' was not empty within 0\.5 s"):
            mq.consume_until_empty("q", lambda _body: None, timeout_s=0.5)
        counts = mq.stats("q")
        assert (counts.acked + counts.waiting, counts.delayed, counts.processing) == (2, 1, 0)
        return counts.acked == 2

    eventually(handled_two)  # once, unless the machine is busy


def test_a_running_message_is_finished_when_the_time_is_up(mq: BizzMQ) -> None:
    begun: list[Any] = []

    def slow(body: Any) -> None:
        begun.append(body)
        (consumer,) = mq._consumers
        eventually(lambda: consumer.is_stop_requested)

    mq.publish_message_to_queue("q", 1)

    while not begun:  # once, unless the machine is busy
        with pytest.raises(TimeoutError):
            mq.consume_until_empty("q", slow, timeout_s=0.3)

    assert mq.stats("q").acked == 1


@pytest.mark.parametrize("wrong", [-1, "3", float("nan"), True])
def test_a_wrong_time_is_refused_before_anything_is_done(mq: BizzMQ, wrong: Any) -> None:
    mq.publish_message_to_queue("q", 1)
    with pytest.raises(ConfigurationError, match="timeout_s must be"):
        mq.consume_until_empty("q", lambda _body: None, timeout_s=wrong)
    assert mq.stats("q").waiting == 1


def test_a_client_closed_meanwhile_does_not_report_an_empty_queue(mq: BizzMQ, url: str) -> None:
    mq.publish_messages_to_queue("q", [1, 2])

    with BizzMQ(url) as other, pytest.raises(ClosedError):
        other.consume_until_empty("q", lambda _body: other.close())

    assert (mq.stats("q").acked, mq.stats("q").waiting) == (1, 1)


def test_invalid_arguments_are_refused(mq: BizzMQ) -> None:
    with pytest.raises(QueueNotFoundError):
        mq.consume_until_empty("nowhere", lambda _body: None)
    with pytest.raises(ConfigurationError):
        mq.consume_until_empty("q", lambda: None)
