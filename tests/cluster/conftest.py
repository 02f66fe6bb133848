"""Servers that fail over, each the test's own, and scenes on them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq import confirm
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from tests.faults.scene import QUEUE, Scene
from tests.support.cluster import Cluster
from tests.support.figures import Figures
from tests.support.sentinels import Watched

StartPool = Callable[..., Pool]


@pytest.fixture
def start_watched() -> Iterator[Callable[..., Watched]]:
    """Start a master, a replica and three sentinels: start_watched(password=..., sentinel_password=...)."""
    with ExitStack() as stack:

        def start(**options: Any) -> Watched:
            watched = Watched(**options)
            stack.callback(watched.close)
            return watched

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
    """Without a replica each publish would take as long as the library is willing to wait for one."""
    monkeypatch.setattr(confirm, "WAIT_MS", 500)


@pytest.fixture
def watched(start_watched: Callable[..., Watched]) -> Watched:
    return start_watched()


@pytest.fixture
def cluster(start_cluster: Callable[..., Cluster]) -> Cluster:
    return start_cluster()


# Asks for the servers first, so that pools end before what they talk to.
@pytest.fixture
def sentinel_scene(
    watched: Watched, ledger: Ledger, pool_factory: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """A scene on servers that sentinels watch."""
    scene = Scene(watched.url, watched.look(), ledger, pool_factory, tmp_path, figures)  # type: ignore[arg-type]
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
