"""The scene of the fault tests with a broker on its server."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest

from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from tests.faults.conftest import scene
from tests.faults.scene import Scene

__all__ = ["scene"]


@pytest.fixture
def broker(scene: Scene) -> Iterator[Broker]:
    connection = connect(scene.url)
    yield Broker(connection)
    connection.drop()


@pytest.fixture
def broker_at() -> Iterator[Callable[[str], Broker]]:
    brokers: list[Broker] = []

    def make(url: str) -> Broker:
        brokers.append(Broker(connect(url)))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.connection.drop()
