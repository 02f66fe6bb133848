"""A pytest plugin: the scripts come from another folder, in which one of them is a mutant."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List

import pytest

from bizzmq import scripts

LUA_VARIABLE = "BIZZMQ_TEST_LUA"
"""The folder; its name is that of the script that is a mutant."""


def pytest_configure() -> None:
    """Before any test module is imported, so that none has loaded a script yet."""
    folder = os.environ.get(LUA_VARIABLE)
    if folder:
        scripts._FOLDER = Path(folder)
        scripts.load.cache_clear()


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """The rows of other scripts' tables are left out, and those of the mutant's come first: few outlive them."""
    name = Path(os.environ.get(LUA_VARIABLE, "")).name
    if name in scripts.names():
        items[:] = [item for item in items if _row_of(item) in ("", name)]
    items.sort(key=lambda item: f"[{name}" not in item.nodeid)


def _row_of(item: pytest.Item) -> str:
    """The script whose table a test is a row of, or ""."""
    in_table = re.search(r"\[(\w+):", item.nodeid) or re.search(r"test_conformance.*\[(\w+)\]", item.nodeid)
    return in_table[1] if in_table and in_table[1] in scripts.names() else ""
