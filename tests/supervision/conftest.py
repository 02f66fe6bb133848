"""Fixtures: pools with private control sockets."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from tests.faults.scene import Scene
from tests.support.figures import Figures

StartPool = Callable[..., Pool]


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory for XDG_RUNTIME_DIR with a short path, because paths of sockets have a limit."""
    directory = Path(tempfile.mkdtemp(prefix="bizzmq-run-"))
    yield directory
    shutil.rmtree(str(directory))


@pytest.fixture
def environment(runtime: Path) -> dict[str, str]:
    """The environment in which a pool and its clients find each other, and no other pool."""
    return {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime)}


@pytest.fixture
def start_pool(pool_factory: StartPool, environment: dict[str, str]) -> StartPool:
    """Like pool_factory, in that environment."""

    def start(url: str, **options: Any) -> Pool:
        return pool_factory(url, env={**environment, **options.pop("env", {})}, **options)

    return start


@pytest.fixture
def scene(
    url: str, redis: Redis, ledger: Ledger, start_pool: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """The scene of the fault tests, with pools in that environment."""
    scene = Scene(url, redis, ledger, start_pool, tmp_path, figures)
    yield scene
    scene.close()
