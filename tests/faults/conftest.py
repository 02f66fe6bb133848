"""Fixtures of the fault tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq.broker import scripts
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.link import Fault
from bizzmq.testing.pool import Pool
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from tests.faults.scene import Scene
from tests.scripts.containers import load_all
from tests.support.figures import Figures

StartPool = Callable[..., Pool]
Lose = Callable[..., Fault]


@pytest.fixture
def scene(
    url: str, redis: Redis, ledger: Ledger, pool_factory: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """A scene on the shared server."""
    scene = Scene(url, redis, ledger, pool_factory, tmp_path, figures)
    yield scene
    scene.close()


@pytest.fixture
def own_scene(
    private_server: Callable[..., RedisServer],
    ledger: Ledger,
    pool_factory: StartPool,
    tmp_path: Path,
    figures: Figures,
) -> Iterator[Callable[..., tuple[RedisServer, Scene]]]:
    """A scene on a private server, which the test may kill: server, scene = own_scene(persistence="aof", ...)."""
    scenes: list[Scene] = []

    def start(**options: Any) -> tuple[RedisServer, Scene]:
        server = private_server(**options)
        scenes.append(Scene(server.url, server.client(), ledger, pool_factory, tmp_path, figures))
        return server, scenes[-1]

    yield start
    for scene in scenes:
        scene.close()


@pytest.fixture
def lose(scene: Scene, proxy: Proxy) -> Lose:
    """lose("claim", nth=1): the reply to the nth request from now that runs this script is lost."""
    load_all(scene.redis)

    def arm(name: str, nth: int = 1) -> Fault:
        return proxy.swallow_reply(nth, scripts.load(name).digest.encode())

    return arm
