"""`stats` of the client."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueNotFoundError, QueueStats
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.testing.wait import eventually
from tests.support.recording_handler import RecordingHandler, fail

FIELDS = [
    "waiting", "delayed", "suspended", "processing", "dead_lettered", "published", "acked", "retried", "requeued",
    "discarded", "dead_lettered_total", "purged", "cancelled", "expired", "replayed", "missing", "dropped",
    "duplicates", "written_off", "unaccounted", "unreadable",
]  # fmt: skip


def test_the_fields_are_the_published_ones(mq: BizzMQ, queue: str) -> None:
    assert [field.name for field in fields(QueueStats)] == FIELDS
    assert mq.stats("q") == QueueStats()
    assert list(mq.stats("q").as_dict()) == FIELDS


def test_a_queue_that_was_never_created_has_none(mq: BizzMQ) -> None:
    with pytest.raises(QueueNotFoundError):
        mq.stats("nowhere")


def test_all_places_are_counted(mq: BizzMQ, broker: Broker, queue: str) -> None:
    mq.publish_messages_to_queue("q", range(5))
    mq.publish_messages_to_queue("q", range(2), MessageOptions(priority=-1))
    mq.publish_messages_to_queue("q", range(3), MessageOptions(delay_s=60))
    broker.register("q", "s", "w")

    broker.claim("q", "w", 2)

    assert mq.stats("q") == QueueStats(waiting=5, delayed=3, processing=2, published=10)


def test_all_outcomes_are_counted(mq: BizzMQ, queue: str) -> None:
    mq.publish_messages_to_queue("q", ["ok", "ok", "bad"])
    seen = RecordingHandler(lambda body, context: fail(body, context) if body == "bad" else None)

    stop = mq.consume_message_from_queue("q", seen)

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    stop()
    assert mq.stats("q") == QueueStats(dead_lettered=1, published=3, acked=2, retried=2, dead_lettered_total=1)
    assert mq.stats("q_dlq") == QueueStats(waiting=1, dead_lettered_total=1)


def test_requeued_messages_are_counted(mq: BizzMQ, broker: Broker, queue: str) -> None:
    mq.publish_messages_to_queue("q", range(3))
    broker.register("q", "s", "w")
    broker.claim("q", "w", 2)

    broker.requeue("q", "w", DeadWorker("stopped"))

    assert mq.stats("q") == QueueStats(waiting=3, published=3, requeued=2)
