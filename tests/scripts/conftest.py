"""Fixtures of the scripts' tests: a broker on the shared server."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from tests.scripts.containers import load_all


@pytest.fixture
def broker_factory() -> Iterator[Callable[[str], Broker]]:
    """Brokers on any URL, whose connections end with the test."""
    brokers: list[Broker] = []

    def make(url: str) -> Broker:
        brokers.append(Broker(Connection(url)))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.connection.drop()


@pytest.fixture
def broker(url: str, broker_factory: Callable[[str], Broker]) -> Broker:
    return broker_factory(url)


@pytest.fixture
def loaded(redis: Redis) -> None:
    """All scripts are in the server's cache, so that each call is one EVALSHA."""
    load_all(redis)
