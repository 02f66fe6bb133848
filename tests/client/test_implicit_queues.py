"""An implicitly created queue takes the first explicit options; a later difference is logged with both values."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.testing.wait import eventually
from tests.scripts.containers import everything

CHOSEN = QueueOptions(max_retries=0, timeout_s=5)
DEFAULT = QueueOptions(config_dead_letter_queue=True)
OTHER = "queue 'q' exists with other options, which stay: "


def test_an_implicit_queue_takes_the_first_chosen_options(mq: BizzMQ, broker: Broker) -> None:
    assert broker.create("q", DEFAULT, implicit=True)
    assert broker.meta("q") == (DEFAULT, True)

    assert mq.create_queue("q", CHOSEN)

    assert broker.meta("q") == (CHOSEN, False)
    assert not mq.create_queue("q", QueueOptions(max_retries=9))
    assert broker.meta("q") == (CHOSEN, False)


def test_default_options_replace_nothing(mq: BizzMQ, broker: Broker, redis: Redis) -> None:
    broker.create("q", DEFAULT, implicit=True)
    before = everything(redis)

    assert not broker.create("q", QueueOptions(), implicit=True)
    assert not mq.create_queue("q")

    assert everything(redis) == before


@pytest.mark.parametrize("stored", [1, 3])
def test_an_implicit_queue_keeps_its_number_of_shards_and_logs_that(
    mq: BizzMQ, broker: Broker, caplog: pytest.LogCaptureFixture, stored: int
) -> None:
    broker.create("q", QueueOptions(shards=stored), implicit=True)

    with caplog.at_level(logging.WARNING, "bizzmq"):
        assert mq.create_queue("q", QueueOptions(max_retries=7, shards=2))

    assert broker.options("q") == QueueOptions(max_retries=7, shards=stored)
    assert [broker.options(shard).max_retries for shard in broker.shards("q")] == [7] * stored
    assert reported(caplog) == [f"shards: asked 2, stored {stored}"]


def test_a_difference_is_a_warning_with_both_values(mq: BizzMQ, caplog: pytest.LogCaptureFixture) -> None:
    mq.create_queue("q", QueueOptions(max_retries=3))

    with caplog.at_level(logging.WARNING, "bizzmq"):
        assert not mq.create_queue("q", QueueOptions(max_retries=5, timeout_s=2.0))
        assert not mq.create_queue("q", QueueOptions(max_retries=3))
        assert not mq.create_queue("q")

    assert reported(caplog) == ["max_retries: asked 5, stored 3; timeout_s: asked 2.0, stored None"]


def test_an_implicit_dead_letter_queue_takes_them_too(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", DEFAULT)

    assert mq.create_queue("q_dlq", CHOSEN)
    assert broker.meta("q_dlq") == (CHOSEN, False)


def test_a_consumer_learns_options_within_seconds(mq: BizzMQ, broker: Broker) -> None:
    broker.create("q", DEFAULT, implicit=True)
    limits = []
    mq.consume_message_from_queue("q", lambda _body, context: limits.append(context.timeout_s))
    mq.publish_message_to_queue("q", 0)

    mq.create_queue("q", CHOSEN)

    def next_limit() -> Any:
        count = len(limits)
        mq.publish_message_to_queue("q", 1)
        eventually(lambda: len(limits) > count)
        return limits[-1]

    eventually(lambda: next_limit() == CHOSEN.timeout_s, 30)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("queue", ["q", "q_dlq"])
def test_a_pool_that_creates_a_queue_at_the_same_time_never_fixes_its_options(
    url: str, queue: str, shards: int
) -> None:
    is_dead = queue.endswith("_dlq")
    asked = replace(CHOSEN, shards=1 if is_dead else shards)
    with BizzMQ(url) as mq:
        for number in range(20):
            name = queue.replace("q", f"q{number}", 1)
            start = threading.Barrier(3)

            def create_implicitly(name: str = name, start: threading.Barrier = start) -> None:
                broker = Broker(connect(url))
                start.wait(60)
                broker.create(name, QueueOptions(config_dead_letter_queue=not is_dead), implicit=True)
                broker.connection.drop()

            pools = [threading.Thread(target=create_implicitly) for _ in range(2)]
            for pool in pools:
                pool.start()
            start.wait(60)
            mq.create_queue(name, asked)
            for pool in pools:
                pool.join()

            shown = mq.show_queue(name)
            assert (shown.is_implicit, replace(shown.options, shards=asked.shards)) == (False, asked)
            assert {mq.show_queue(shard).options.max_retries for shard in shown.shards} == {asked.max_retries}


def reported(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The logged differences."""
    return [record.msg.partition(OTHER)[2] for record in caplog.records if OTHER in record.msg]
