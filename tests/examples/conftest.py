"""Fixtures that run and import the programs in examples/."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Callable, Iterator

import pytest

from tests.support.program import ROOT, StartProgram, programs

EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[StartProgram]:
    with programs(EXAMPLES, tmp_path) as start:
        yield start


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of examples/."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module
