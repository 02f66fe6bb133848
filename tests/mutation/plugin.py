"""A pytest plugin that takes the scripts from another folder, in which one of them is a mutant."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List

import pytest

from bizzmq.broker import scripts

LUA_VARIABLE = "BIZZMQ_TEST_LUA"
"""The folder. It has the name of the mutated script."""


def pytest_configure() -> None:
    """Runs before any test module is imported and could load a script."""
    folder = os.environ.get(LUA_VARIABLE)
    if folder:
        scripts._FOLDER = Path(folder)
        scripts.load.cache_clear()


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Deselect the rows of other scripts and put those of the mutant first, because they kill most mutants."""
    name = Path(os.environ.get(LUA_VARIABLE, "")).name
    if name in scripts.names():
        items[:] = [item for item in items if _row_of(item) in ("", name)]
    items.sort(key=lambda item: f"[{name}" not in item.nodeid)


def _row_of(item: pytest.Item) -> str:
    """Name of the script whose table has this row, or ""."""
    in_table = re.search(r"\[(\w+):", item.nodeid) or re.search(r"test_conformance.*\[(\w+)\]", item.nodeid)
    return in_table[1] if in_table and in_table[1] in scripts.names() else ""
