"""R26 on servers that fail over: an exception out of a signal handler strikes a call anywhere."""

from __future__ import annotations

from typing import Iterator

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.server import RedisServer
from tests.support.cluster import Cluster
from tests.support.interrupts import CALLS, QUEUE, Storm, judge_of, seeded, strike
from tests.support.sentinels import Watched

pytestmark = pytest.mark.timeout(120, method="thread")  # the other method needs the signal that strikes here
small_and_large = pytest.mark.parametrize(
    "interrupts", [60, pytest.param(3000, marks=[pytest.mark.matrix, pytest.mark.timeout(900, method="thread")])]
)


@pytest.fixture
def storm() -> Iterator[Storm]:
    made = Storm(seeded())
    yield made
    made.close()


@small_and_large
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signal_handlers_that_raise_with_sentinels(watched: Watched, storm: Storm, interrupts: int) -> None:
    beset(watched.url, watched.master(), storm, interrupts)


@small_and_large
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signal_handlers_that_raise_on_a_cluster(cluster: Cluster, storm: Storm, interrupts: int) -> None:
    beset(cluster.url, cluster.master_of(QUEUE), storm, interrupts)


def beset(url: str, server: RedisServer, storm: Storm, interrupts: int) -> None:
    with BizzMQ(url) as mq, server.client() as redis:
        strike(storm, mq, judge_of(mq, redis), list(CALLS), interrupts)
