"""The row of a queue, from which the dashboard, `bizzmq top` and alerts show it, has the same counts as `stats`."""

from __future__ import annotations

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.admin.queue_row import read_row
from bizzmq.broker.broker import Broker
from bizzmq.testing.wait import eventually


@pytest.mark.parametrize("shards", [1, 3])
def test_its_counts_are_those_of_stats_with_messages_that_a_pause_has_put_aside(
    mq: BizzMQ, broker: Broker, shards: int
) -> None:
    mq.create_queue("q", QueueOptions(shards=shards))
    mq.publish_messages_to_queue("q", range(3), MessageOptions(key="a", delay_s=3600))
    mq.pause("q", key="a")
    mq.publish_messages_to_queue("q", range(9), MessageOptions(key="a"))
    handled: list[int] = []
    stops = [mq.consume_message_from_queue("q", handled.append) for _ in range(2)]
    eventually(lambda: mq.stats("q").suspended == 9, 30)
    for stop in stops:
        stop()

    row = broker.perform(read_row("q"))

    assert row is not None
    assert row.stats == mq.stats("q")
    assert row.stats is not None
    assert (row.stats.suspended, row.stats.delayed, row.stats.processing, handled) == (9, 3, 0, [])
