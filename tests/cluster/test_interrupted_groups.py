"""R26 with Sentinel and Cluster: a signal handler raises at any point of a call."""

from __future__ import annotations

from typing import Iterator

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.server import RedisServer
from tests.support.cluster import Cluster
from tests.support.interrupts import CALLS, QUEUE, Storm, interrupt_calls, judge_of, seeded
from tests.support.sentinels import SentinelGroup

pytestmark = pytest.mark.timeout(120, method="thread")  # the other method needs the signal that is used here
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
def test_signal_handlers_that_raise_with_sentinels(
    sentinel_group: SentinelGroup, storm: Storm, interrupts: int
) -> None:
    beset(sentinel_group.url, sentinel_group.master(), storm, interrupts)


@small_and_large
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signal_handlers_that_raise_on_a_cluster(cluster: Cluster, storm: Storm, interrupts: int) -> None:
    beset(cluster.url, cluster.master_of(QUEUE), storm, interrupts)


def beset(url: str, server: RedisServer, storm: Storm, interrupts: int) -> None:
    with BizzMQ(url) as mq, server.client() as redis:
        interrupt_calls(storm, mq, judge_of(mq, redis), list(CALLS), interrupts)
