"""A pytest plugin that takes the scripts from another folder, in which one of them is a mutant.

On the unchanged scripts it notes which tests run which scripts. Only these tests run on a mutant, the quick ones first.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

import pytest

from bizzmq.broker import scripts

LUA_VARIABLE = "BIZZMQ_TEST_LUA"
"""The folder. It has the name of the mutated script."""
NOTES_VARIABLE = "BIZZMQ_TEST_NOTES"
"""The file of notes: test -> its seconds and the scripts that it has run. Without LUA_VARIABLE it is written."""

_ran: Set[str] = set()
_notes: Dict[str, Dict[str, Any]] = {}


def pytest_configure() -> None:
    """Runs before any test module is imported and could load a script."""
    folder = os.environ.get(LUA_VARIABLE)
    if folder:
        scripts._FOLDER = Path(folder)
        scripts.load.cache_clear()


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Deselect the tests of other scripts. Put the rows of the mutant first, because they kill most mutants."""
    name = Path(os.environ.get(LUA_VARIABLE, "")).name
    if name in scripts.names():
        items[:] = [item for item in items if _row_of(item) in ("", name)]
    notes = _read_notes()
    changed = {one for one in scripts.names() if name in (one, *scripts.load(one).includes)}
    items[:] = [item for item in items if not _is_of_others(notes.get(item.nodeid), changed)]
    items.sort(key=lambda item: (f"[{name}" not in item.nodeid, notes.get(item.nodeid, {}).get("took_s", 0)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the scripts of a test, and its seconds."""
    _ran.clear()
    started_s = time.monotonic()
    yield
    _notes[item.nodeid] = {"took_s": round(time.monotonic() - started_s, 3), "ran": sorted(_ran)}


def pytest_sessionfinish() -> None:
    """Write the notes."""
    path = os.environ.get(NOTES_VARIABLE)
    if path and not Path(path).exists():
        Path(path).write_text(json.dumps(_notes), encoding="utf-8")


def note_scripts() -> None:
    """Note each script that is loaded, unless all are. To be called once, before the tests are imported."""
    plain = scripts.load

    def load(name: str) -> scripts.Script:
        callers = sys._getframe(1), sys._getframe(2)  # before CPython 3.12, a comprehension has a frame of its own
        if "load_all" not in [frame.f_code.co_name for frame in callers]:
            _ran.add(name)
        return plain(name)

    load.cache_clear = plain.cache_clear  # type: ignore[attr-defined]
    scripts.load = load  # type: ignore[assignment]


def _read_notes() -> Dict[str, Dict[str, Any]]:
    path = os.environ.get(NOTES_VARIABLE)
    if not path or not Path(path).exists():
        return {}
    found: Dict[str, Dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def _is_of_others(note: Dict[str, Any] | None, changed: Set[str]) -> bool:
    """Whether a test has run scripts, and no changed one. A test that runs them in another process has run none."""
    return bool(note and note["ran"] and not changed & {*note["ran"]})


def _row_of(item: pytest.Item) -> str:
    """Name of the script whose table has this row, or ""."""
    in_table = re.search(r"\[(\w+):", item.nodeid) or re.search(r"test_conformance.*\[(\w+)\]", item.nodeid)
    return in_table[1] if in_table and in_table[1] in scripts.names() else ""
