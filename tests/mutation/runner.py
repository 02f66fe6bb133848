"""Runs the scripts' tests on one mutant after the other, each in its own process, until a test fails.

The processes are forked from one that has imported everything and explored the model, which saves most of the time.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Collection, Dict, Iterator, List, Sequence

import pytest

from bizzmq.broker import scripts
from tests.model import sample
from tests.model.scenarios import explored
from tests.mutation import plugin
from tests.mutation.mutants import Mutant, mutants_of

LUA = Path(scripts.__file__).parents[1] / "lua"
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
_INTERNAL = 70
_NOT_RUN = (2, 3, 4, 5, _INTERNAL)  # pytest's exit codes but for 0, passed, and 1, failed
_UNCHANGED = "unchanged"  # not the name of a script, so the rows of all scripts run


@dataclass(frozen=True)
class Verdict:
    """The fate of a mutant. `by` is the first test that failed."""

    mutant: Mutant
    fate: str
    by: str
    took_s: float


@dataclass
class _Running:
    mutant: Mutant
    output: Path
    started_s: float


class BaselineError(Exception):
    """The tests fail on the unchanged scripts, so every mutant would count as killed."""


def all_mutants() -> List[Mutant]:
    """The mutants of all scripts."""
    return [
        mutant
        for path in sorted(LUA.glob("*/*.lua"), key=lambda path: path.stem)
        for mutant in mutants_of(path.stem, path.read_text())
    ]


def run(mutants: Sequence[Mutant], processes: int, tests: Sequence[str] = ()) -> Iterator[Verdict]:
    """The verdict on each mutant as soon as it is known. `processes` mutants are tried at a time.

    Args:
        tests: files of tests to run in place of all: what survives these may be killed by others.

    Raises:
        BaselineError: nothing was tried.
    """
    plugin.note_scripts()
    _import_all(tests or sorted({*TESTS, *AUDIT_TESTS}))
    sample.PER_KIND = 3
    sample.transitions()  # kept by all children
    explored.cache_clear()
    gc.freeze()
    waiting = list(reversed(mutants))
    running: Dict[int, _Running] = {}
    with tempfile.TemporaryDirectory(prefix="bizzmq-mutants-") as scratch:
        os.environ[plugin.NOTES_VARIABLE] = str(Path(scratch) / "notes")
        check_baseline({mutant.script for mutant in mutants}, tests)
        try:
            while waiting or running:
                while waiting and len(running) < processes:
                    mutant = waiting.pop()
                    folder = _folder_with(mutant, Path(scratch) / str(len(waiting)))
                    pid = _fork(lambda folder=folder: _child(folder, tests))  # type: ignore[misc]
                    running[pid] = _Running(mutant, folder.parent / "output", time.monotonic())
                yield from _ended(running)
        finally:
            for pid in running:
                _kill(pid)


def check_baseline(names: Collection[str], tests: Sequence[str] = ()) -> None:
    """Run the tests of these scripts on the unchanged scripts. Raises BaselineError."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-baseline-") as scratch:
        folder = Path(scratch) / (next(iter(names)) if len(names) == 1 else _UNCHANGED)
        shutil.copytree(LUA, folder)
        pid = _fork(lambda: _child(folder, tests))
        try:
            status = os.waitpid(pid, 0)[1]
        except BaseException:
            _kill(pid)
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


def _fork(child: Callable[[], int]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = _INTERNAL
    try:
        os.setsid()
        status = child()
    except BaseException:  # noqa: BLE001 - a forked child must not return
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)


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
            _kill(late)
            yield _verdict(running.pop(late), HUNG)
        return
    one = running.pop(pid)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else _INTERNAL
    if code in _NOT_RUN:
        raise RuntimeError(f"the tests did not run:\n{one.mutant}\n{one.output.read_text()}")
    yield _verdict(one, KILLED if code else SURVIVED)


def _verdict(one: _Running, fate: str) -> Verdict:
    lines = one.output.read_text(errors="replace").splitlines()
    failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
    shutil.rmtree(one.output.parent)
    return Verdict(one.mutant, fate, failed[0].split(" ", 1)[1] if failed else "", time.monotonic() - one.started_s)


def _kill(pid: int) -> None:
    """Kill a child and the servers of its tests, which die with their parent."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
