"""Fixtures of the pool's tests: the scene of the fault tests, and both commands as programs."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.faults.conftest import own_scene, scene
from tests.support.program import StartProgram, programs

__all__ = ["own_scene", "program", "scene"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[StartProgram]:
    """program("-m", "bizzmq.workers", ..., VARIABLE="value") in a new empty directory."""
    with programs(tmp_path, tmp_path) as start:
        yield start
