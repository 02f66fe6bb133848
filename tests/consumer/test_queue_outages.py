"""A queue with trouble of its own: what Redis has not received about it is deferred, and stays in the journal."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ConsumerHooks, Journal
from bizzmq.consumer.lease import Lease
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.utils.stop_event import StopEvent


class JournalInMemory(Journal):
    def __init__(self) -> None:
        self.kept: dict[str, DeadWorker] = {}

    def keep(self, queue: str, settlement: DeadWorker) -> None:
        self.kept[queue] = settlement

    def clear(self, queue: str) -> None:
        self.kept.pop(queue, None)


@pytest.fixture
def run(broker: Broker) -> Callable[[Callable[[StopEvent], None]], tuple[ExitReason, JournalInMemory]]:
    """Run a loop with this handler until it requests the stop; how the loop ended, and its journal."""

    def run(action: Callable[[StopEvent], None]) -> tuple[ExitReason, JournalInMemory]:
        stop, journal = StopEvent(), JournalInMemory()
        Lease(broker, "s", ["q"]).register("w")
        consumer = Consumer(
            broker, "w", ["q"], Handler(lambda _body: action(stop)), stop, ConsumerOptions(patience_s=0.0),
            ConsumerHooks(journal=journal),
        )  # fmt: skip
        reason = consumer.run()
        stop.close()
        return reason, journal

    return run


def test_an_ack_that_a_broken_queue_refuses_stays_in_the_journal_of_a_loop_that_stops(
    mq: BizzMQ, broker: Broker, redis: Redis, queue: str, run: Any
) -> None:
    message = mq.publish_message_to_queue("q", 1)
    messages = broker.keys("q").messages

    def handler(stop: StopEvent) -> None:
        redis.rename(messages, "aside")
        redis.set(messages, "something else")
        stop.request()

    reason, journal = run(handler)

    assert reason is ExitReason.DRAINED
    assert journal.kept["q"].last_finished == message


def test_nothing_stays_in_the_journal_of_a_loop_whose_acks_were_sent(
    mq: BizzMQ, redis: Redis, queue: str, run: Any
) -> None:
    mq.publish_message_to_queue("q", 1)

    reason, journal = run(StopEvent.request)

    assert (reason, journal.kept) == (ExitReason.DRAINED, {})
    assert mq.stats("q").acked == 1
