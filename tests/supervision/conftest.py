"""Pools whose control sockets are the test's own."""

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
    """A short path (sockets have a limit) that stands for XDG_RUNTIME_DIR."""
    directory = Path(tempfile.mkdtemp(prefix="bizzmq-run-"))
    yield directory
    shutil.rmtree(str(directory))


@pytest.fixture
def environment(runtime: Path) -> dict[str, str]:
    """What a pool, and whoever asks it, must have in the environment to find one another and nobody else."""
    return {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime)}


@pytest.fixture
def start_pool(pool_factory: StartPool, environment: dict[str, str]) -> StartPool:
    """As pool_factory, in that environment."""

    def start(url: str, **options: Any) -> Pool:
        return pool_factory(url, env={**environment, **options.pop("env", {})}, **options)

    return start


@pytest.fixture
def scene(
    url: str, redis: Redis, ledger: Ledger, start_pool: StartPool, tmp_path: Path, figures: Figures
) -> Iterator[Scene]:
    """The scene of the fault tests, whose pools start in that environment."""
    scene = Scene(url, redis, ledger, start_pool, tmp_path, figures)
    yield scene
    scene.close()
