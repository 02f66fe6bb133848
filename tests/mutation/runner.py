"""Tries mutants on the rows of the scripts' tables, and runs the tests on those that survive the rows.

The tests run on one mutant after the other, each in its own process, until a test fails. The processes are forked from
one that has imported everything and explored the model, which saves most of the time.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Dict, Iterator, Sequence

import pytest

from tests.model import sample
from tests.model.scenarios import explored
from tests.mutation import plugin
from tests.mutation.children import INTERNAL, fork, kill
from tests.mutation.mutants import LUA, Mutant
from tests.mutation.rows import BaselineError, meet_rows

# Not test_headers: it reads the text of the scripts, and would find mutants without running them.
TESTS = ("tests/scripts", "tests/model/test_conformance.py", "tests/model/test_machine.py")
AUDIT_TESTS = ("tests/scripts", "tests/audit/test_damage.py")
AUDIT_SCRIPTS = {
    "drop_missing",
    "scan_fields",
    "drop_attempts",
    "locate",
    "locations",
    "requeue_unregistered",
    "requeue_unplaced",
    "deduplicate",
    "write_off",
    "leftovers",
    "find_leftovers",
    "repair_leftovers",
}
OPTIONS = ("-x", "-n0", "--assert=plain", "-q", "-p", "no:cacheprovider", "--timeout=120",
           "--ignore=tests/scripts/test_headers.py")  # fmt: skip
LIMIT_S = 900.0
SURVIVED, KILLED, HUNG = "survived", "killed", "hung"
_NO_TEST = 5  # pytest's exit code if no test runs the mutated script
_NOT_RUN = (2, 3, 4, INTERNAL)  # its exit codes but for that one, for 0, passed, and for 1, failed
_UNCHANGED = "unchanged"  # not the name of a script, so the rows of all scripts run


@dataclass(frozen=True)
class Verdict:
    """The fate of a mutant. `by` is the first test that failed; `by_row` says whether in the first stage."""

    mutant: Mutant
    fate: str
    by: str
    took_s: float
    by_row: bool = False


@dataclass
class _Running:
    mutant: Mutant
    output: Path
    started_s: float


def run(
    mutants: Sequence[Mutant], processes: int, tests: Sequence[str] = (), *, rows_only: bool = False
) -> Iterator[Verdict]:
    """The verdict on each mutant as soon as it is known. `processes` mutants are tried at a time.

    Args:
        rows_only: run no tests.
        tests: files of tests to run after the rows in place of all: what survives these may be killed by others.

    Raises:
        BaselineError: a row or a test fails on the unchanged scripts. Mutants before it have met only the rows.
    """
    alive = []
    with tempfile.TemporaryDirectory(prefix="bizzmq-mutants-") as scratch:
        for mutant, row, took_s in meet_rows(mutants, processes, Path(scratch)):
            if row:
                yield Verdict(mutant, KILLED, row, took_s, by_row=True)
            elif rows_only:
                yield Verdict(mutant, SURVIVED, "", took_s)
            else:
                alive.append(mutant)
        if alive:
            alive.sort(key=lambda mutant: (mutant.script, mutant.line))
            yield from _run_tests(alive, processes, tests, Path(scratch))


def _run_tests(mutants: Sequence[Mutant], processes: int, tests: Sequence[str], scratch: Path) -> Iterator[Verdict]:
    plugin.note_scripts()
    _import_all(tests or sorted({*TESTS, *AUDIT_TESTS}))
    if any(test.startswith("tests/model") for test in tests or TESTS):
        sample.PER_KIND = 3
        sample.transitions()  # kept by all children
        explored.cache_clear()
    gc.freeze()
    waiting = list(reversed(mutants))
    running: Dict[int, _Running] = {}
    os.environ[plugin.NOTES_VARIABLE] = str(scratch / "notes")
    check_baseline({mutant.script for mutant in mutants}, tests)
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                mutant = waiting.pop()
                folder = _folder_with(mutant, scratch / str(len(waiting)))
                pid = fork(lambda folder=folder: _child(folder, tests))  # type: ignore[misc]
                running[pid] = _Running(mutant, folder.parent / "output", time.monotonic())
            yield from _ended(running)
    finally:
        for pid in running:
            kill(pid)


def check_baseline(names: Collection[str], tests: Sequence[str] = ()) -> None:
    """Run the tests of these scripts on the unchanged scripts. Raises BaselineError."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-baseline-") as scratch:
        folder = Path(scratch) / (next(iter(names)) if len(names) == 1 else _UNCHANGED)
        shutil.copytree(LUA, folder)
        pid = fork(lambda: _child(folder, tests))
        try:
            status = os.waitpid(pid, 0)[1]
        except BaseException:
            kill(pid)
            raise
        if status:
            raise BaselineError((folder.parent / "output").read_text(errors="replace"))


def _import_all(tests: Sequence[str]) -> None:
    """Import pytest's plugins and the tests once for all children."""
    with tempfile.TemporaryFile() as nowhere:
        kept = os.dup(1)
        os.dup2(nowhere.fileno(), 1)
        status = pytest.main([*OPTIONS, "--collect-only", *tests], plugins=[plugin])
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
    if status:
        raise RuntimeError(f"the tests cannot be collected: pytest's status is {status}")


def _folder_with(mutant: Mutant, parent: Path) -> Path:
    folder = parent / mutant.script
    shutil.copytree(LUA, folder)
    next(folder.glob(f"*/{mutant.script}.lua")).write_text(mutant.source)
    return folder


def _child(folder: Path, tests: Sequence[str]) -> int:
    os.environ[plugin.LUA_VARIABLE] = str(folder)
    output = os.open(folder.parent / "output", os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    return int(pytest.main([*OPTIONS, *(tests or _tests_of(folder.name))], plugins=[plugin]))


def _tests_of(name: str) -> Sequence[str]:
    if name == _UNCHANGED:
        return sorted({*TESTS, *AUDIT_TESTS})
    return AUDIT_TESTS if name in AUDIT_SCRIPTS else TESTS


def _ended(running: Dict[int, _Running]) -> Iterator[Verdict]:
    """Wait until one ends or takes too long."""
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid == 0:
        time.sleep(0.02)  # waiting for any child has no time limit, so it polls
        now_s = time.monotonic()
        for late in [pid for pid, one in running.items() if now_s - one.started_s > LIMIT_S]:
            kill(late)
            yield _verdict(running.pop(late), HUNG)
        return
    one = running.pop(pid)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else INTERNAL
    if code in _NOT_RUN:
        raise RuntimeError(f"the tests did not run:\n{one.mutant}\n{one.output.read_text()}")
    yield _verdict(one, SURVIVED if code in (0, _NO_TEST) else KILLED)


def _verdict(one: _Running, fate: str) -> Verdict:
    lines = one.output.read_text(errors="replace").splitlines()
    failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    shutil.rmtree(one.output.parent)
    return Verdict(one.mutant, fate, failed[0].split(" ", 1)[1] if failed else "", time.monotonic() - one.started_s)
