"""Limited queues: publishing to a full one is refused, or drops the oldest messages."""

from __future__ import annotations

import logging
from typing import Any, List

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions, QueueFullError, QueueOptions
from bizzmq.broker.checked_publish import Terms
from bizzmq.protocol.keys import QueueKeys

K = QueueKeys("q")


def handled(mq: BizzMQ) -> List[Any]:
    seen: List[Any] = []
    mq.consume_until_empty("q", seen.append, timeout_s=30)
    return seen


def test_a_full_queue_refuses(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(max_length=3))
    mq.publish_message_to_queue("q", 1)
    mq.publish_message_to_queue("q", 2, MessageOptions(delay_s=60))
    mq.publish_message_to_queue("q", 3, MessageOptions(priority=5))

    with pytest.raises(QueueFullError, match="at most 3 messages") as refused:
        mq.publish_message_to_queue("q", 4)
    assert (refused.value.queue, refused.value.max_length) == ("q", 3)
    assert (mq.stats("q").published, mq.stats("q").unaccounted) == (3, 0)

    mq.update_queue("q", {"max_length": None})
    mq.publish_message_to_queue("q", 4)


def test_what_fits_is_stored_and_the_error_says_which(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(max_length=150))

    with pytest.raises(QueueFullError) as refused:
        mq.publish_messages_to_queue("q", range(1000))

    assert len(refused.value.published_ids) == mq.stats("q").waiting == 100  # requests of 100: the second is refused


def test_a_limit_that_comes_while_a_client_is_open(mq: BizzMQ) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", range(2000))
    mq.update_queue("q", QueueOptions(max_length=2100))

    assert len(mq.publish_messages_to_queue("q", range(100))) == 100
    with pytest.raises(QueueFullError):
        mq.publish_messages_to_queue("q", range(2000))
    assert mq.stats("q").waiting == 2100


def test_the_oldest_are_dropped_in_order_and_their_results_say_so(
    mq: BizzMQ, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    mq.create_queue("q", QueueOptions(max_length=3, when_full="drop-oldest"))
    kept = MessageOptions(result_ttl_s=60)
    first = mq.publish_message_to_queue("q", 1, kept)
    with caplog.at_level(logging.WARNING):
        mq.publish_messages_to_queue("q", range(2, 6), kept)

    status = mq.status("q", first)
    assert (status.state, status.error["error_type"]) == ("discarded", "QueueFullError")
    assert "a full queue has dropped its oldest messages" in caplog.text
    assert (mq.stats("q").dropped, mq.stats("q").unaccounted) == (2, 0)
    assert handled(mq) == [3, 4, 5]


def test_low_priorities_are_dropped_first_and_delayed_messages_last(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(max_length=6, when_full="drop-oldest"))
    for body, options in (
        ("high", {"priority": 5}), ("late", {"delay_s": 60}), ("low", {"priority": -1}), ("lower", {"priority": -2}),
        ("old", {}), ("new", {}),
    ):  # fmt: skip
        mq.publish_message_to_queue("q", body, MessageOptions(**options))
    left = []
    for number in range(5):
        mq.publish_message_to_queue("q", number, MessageOptions(priority=9))
        left.append({one.body for one in mq.messages("q").messages if isinstance(one.body, str)})

    gone = [before - after for before, after in zip([{"high", "low", "lower", "old", "new"}, *left], left)]
    assert mq.stats("q").delayed == 1
    assert gone == [{"lower"}, {"low"}, {"old"}, {"new"}, {"high"}]


def test_more_than_fits_at_once(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(max_length=2, when_full="drop-oldest"))

    assert len(mq.publish_messages_to_queue("q", range(300))) == 300

    assert handled(mq) == [298, 299]
    assert mq.stats("q").dropped == 298


def test_a_duplicate_is_no_more(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(max_length=1))
    options = MessageOptions(unique_key="a")

    assert mq.publish_message_to_queue("q", 1, options) == mq.publish_message_to_queue("q", 2, options)


@pytest.mark.parametrize("wrong", [{"max_length": 0}, {"max_length": 1.5}, {"when_full": "drop"}, {"when_full": None}])
def test_wrong_options_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        QueueOptions(**wrong)


def test_an_envelope_is_published_as_it_is(mq: BizzMQ) -> None:
    """As a schedule does that is run by hand."""
    mq.create_queue("q", QueueOptions(max_length=1))

    def publish() -> str:
        return mq._with_publisher(lambda publisher: [publisher.publish_encoded("q", b"1\n1", "", Terms(0, 0))])[0]

    assert mq.status("q", publish()).state == "waiting"
    with pytest.raises(QueueFullError):
        publish()


def test_a_lowered_limit_is_reached_step_by_step(mq: BizzMQ) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", range(350))
    mq.update_queue("q", QueueOptions(max_length=10, when_full="drop-oldest"))

    left = []
    for number in range(350, 355):
        mq.publish_message_to_queue("q", number)
        left.append(mq.stats("q").waiting)

    assert left == [250, 150, 50, 10, 10]
    assert handled(mq) == [*range(345, 355)]
