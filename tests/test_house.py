"""The shape of the code: sizes of modules and packages, and tests that wait long enough."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

from tests.support.paths import ROOT

MODULE_LINES, TEST_LINES, PACKAGE_MODULES = 300, 400, 20
LEAST_WAIT_S = 20

LONGER = {
    "tools/reference.py": "one program that writes all generated pages",
    "tests/scripts/table_checked.py": "one table",
    "tests/scripts/table_leaving.py": "one table",
}
"""Modules with more lines, and why."""
LARGER = {
    "bizzmq/testing": "its import paths are published",
    "bench": "a module for each measurement, which `python -m bench NAME` finds by its name",
}
"""Packages with more modules, and why."""
SHORTER = {
    "tests/supervision/test_systemd.py": "it waits for what must not come",
    "tests/testing/test_ledger_and_wait.py": "it tests the waits",
}
"""Tests with shorter waits, and why."""


def modules(*folders: str) -> Iterator[tuple[str, Path]]:
    """The modules below these folders, with their paths in the repository."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("bizzmq/workers/"):  # the link to workers/
                yield name, path


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_are_short() -> None:
    code = modules("bizzmq", "workers", "bench", "tools", "examples")
    longer = {name for name, path in code if lines_of(path) > MODULE_LINES}
    longer |= {name for name, path in modules("tests") if lines_of(path) > TEST_LINES}

    assert longer <= {*LONGER}, "split it by what it does or tests, or name the reason here"


def test_packages_have_few_modules() -> None:
    sizes: dict[str, int] = {}
    for name, path in modules("bizzmq", "workers", "bench", "tools"):
        package = Path(name).parent.as_posix()
        sizes[package] = sizes.get(package, 0) + (path.name != "__init__.py")

    larger = {package for package, size in sizes.items() if size > PACKAGE_MODULES}
    assert larger <= {*LARGER}, "make a package of what belongs together, or name the reason here"


def test_waits_of_tests_end_only_when_something_is_broken() -> None:
    shorter = {name for name, path in modules("tests") if any(limit < LEAST_WAIT_S for limit in limits_of(path))}

    assert shorter <= {*SHORTER}, f"wait for {LEAST_WAIT_S} s or more: it costs nothing as long as nothing is broken"


def limits_of(path: Path) -> Iterator[float]:
    """The limits of waits for a condition, as far as they are numbers."""
    text = path.read_text(encoding="utf-8")
    for call in ast.walk(ast.parse(text)) if "eventually" in text else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.startswith("eventually"):
            for limit in [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "timeout_s")]:
                if isinstance(limit, ast.Constant) and isinstance(limit.value, (int, float)):
                    yield limit.value
