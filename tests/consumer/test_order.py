"""A message that fails repeatedly comes after those of its priority that have not been tried yet."""

from __future__ import annotations

from typing import Any, List

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.testing.wait import eventually


@pytest.mark.parametrize("priority", [0, 5, -5])
def test_a_failing_message_does_not_delay_others_of_its_priority(mq: BizzMQ, priority: int) -> None:
    mq.create_queue("q", QueueOptions(max_retries=20, retry_backoff_s=0))
    ran: List[Any] = []

    def handler(body: Any) -> None:
        ran.append(body)
        if body == "fails":
            raise ValueError(body)

    mq.publish_messages_to_queue("q", ["fails", *range(10)], MessageOptions(priority=priority))
    stop = mq.consume_message_from_queue("q", handler)
    eventually(lambda: mq.stats("q").discarded == 1)
    stop()

    # Each retry waits behind all messages that wait then; a batch claimed with it comes before its first retry.
    assert [body for body in ran if body != "fails"] == list(range(10))
    assert ran[: ran.index(9)].count("fails") <= 2
    assert ran.count("fails") == 21
