"""Fixtures of the library's tests: a client, background consumers, and handlers that note what they are given."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest

from bizzmq import BizzMQ, Context, QueueOptions
from bizzmq.background import BackgroundConsumer
from bizzmq.broker import Broker
from bizzmq.connection import Connection
from bizzmq.handler import UserHandler
from bizzmq.lease import LeaseOptions
from bizzmq.testing.wait import eventually

AT_ONCE = QueueOptions(config_dead_letter_queue=True, max_retries=2, retry_backoff_s=0)


class Seen:
    """A handler that notes what it is given and does what `outcome(body, context)` does."""

    def __init__(self, outcome: Callable[[Any, Context], Any] | None = None) -> None:
        self._outcome = outcome
        self.bodies: list[Any] = []
        self.contexts: list[Context] = []

    def __call__(self, body: Any, context: Context) -> Any:
        self.contexts.append(context)
        self.bodies.append(body)
        return self._outcome(body, context) if self._outcome else None

    def wait(self, count: int, timeout_s: float = 5.0) -> list[Any]:
        """The bodies, as soon as there are so many."""
        eventually(lambda: len(self.bodies) >= count, timeout_s, lambda: f"{count} bodies, got {self.bodies}")
        return self.bodies


def fail(body: Any, context: Context) -> None:
    raise ValueError(f"cannot handle {body!r}")


@pytest.fixture
def mq(url: str) -> Iterator[BizzMQ]:
    with BizzMQ(url) as client:
        yield client


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    """A queue with a dead-letter queue, two retries and no back-off."""
    mq.create_queue("q", AT_ONCE)
    return "q"


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    made = Broker(Connection(url))
    yield made
    made.connection.drop()


@pytest.fixture
def consumer_factory() -> Iterator[Callable[..., BackgroundConsumer]]:
    """Started background consumers with lease options of the test's own."""
    started: list[BackgroundConsumer] = []

    def start(url: str, queue: str, handler: UserHandler, lease: LeaseOptions) -> BackgroundConsumer:
        consumer = BackgroundConsumer(lambda: Broker(Connection(url)), queue, handler, lease)
        consumer.start()
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.stop()


def at_rest(mq: BizzMQ, queue: str) -> bool:
    """Nothing waits, is held back or is being handled."""
    stats = mq.stats(queue)
    return stats.waiting == stats.delayed == stats.processing == 0
