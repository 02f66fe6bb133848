"""Private servers with failover, and scenes on them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq.publisher import confirms
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from tests.faults.scene import QUEUE, Scene
from tests.support.cluster import Cluster
from tests.support.figures import Figures
from tests.support.sentinels import SentinelGroup

StartPool = Callable[..., Pool]


@pytest.fixture
def start_sentinel_group() -> Iterator[Callable[..., SentinelGroup]]:
    """Start a master, a replica and three sentinels: start_watched(password=..., sentinel_password=...)."""
    with ExitStack() as stack:

        def start(**options: Any) -> SentinelGroup:
            sentinel_group = SentinelGroup(**options)
            stack.callback(sentinel_group.close)
            return sentinel_group

        yield start


@pytest.fixture
def start_cluster() -> Iterator[Callable[..., Cluster]]:
    """Start a cluster: start_cluster(full_coverage=..., password=..., replicas=...)."""
    with ExitStack() as stack:

        def start(**options: Any) -> Cluster:
            cluster = Cluster(**options)
            stack.callback(cluster.close)
            return cluster

        yield start


@pytest.fixture(autouse=True)
def _short_confirmations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the wait for confirmation: without a replica each publish waits for the full time."""
    monkeypatch.setattr(confirms, "WAIT_MS", 500)


@pytest.fixture
def sentinel_group(start_sentinel_group: Callable[..., SentinelGroup]) -> SentinelGroup:
    return start_sentinel_group()


@pytest.fixture
def cluster(start_cluster: Callable[..., Cluster]) -> Cluster:
    return start_cluster()


# Requests the servers first, so that pools end before the servers that they use.
@pytest.fixture
def sentinel_scene(
    sentinel_group: SentinelGroup, ledger: Ledger, pool_factory: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """A scene on servers that sentinels watch."""
    scene = Scene(sentinel_group.url, sentinel_group.look(), ledger, pool_factory, tmp_path, figures)  # type: ignore[arg-type]
    yield scene
    scene.close()


@pytest.fixture
def cluster_scene(
    cluster: Cluster, ledger: Ledger, pool_factory: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """A scene on a cluster."""
    scene = Scene(cluster.url, cluster.at(QUEUE), ledger, pool_factory, tmp_path, figures)  # type: ignore[arg-type]
    yield scene
    scene.close()
