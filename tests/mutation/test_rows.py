"""Mutants meet the rows of the tables first. The tests run on what survives there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterable

import pytest

from tests.mutation.mutants import LUA, Mutant, mutants_of
from tests.mutation.rows import Rows
from tests.scripts.containers import NO_QUEUE
from tests.scripts.moves import Move
from tests.scripts.test_moves import MOVES
from tests.support.paths import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LUA, tmp_path / "lua"))


def rows_of(script: str) -> list[Move]:
    return [move for move in MOVES if move.script == script]


def source_of(script: str) -> str:
    return next(LUA.glob(f"*/{script}.lua")).read_text()


def mutant(script: str, source: str) -> Mutant:
    return Mutant(script, "for a test", 1, "", "", source)


def mutants_by(script: str, what: str) -> Iterable[Mutant]:
    return (one for one in mutants_of(script, source_of(script)) if one.what == what)


def test_a_row_kills_a_mutant(folder: Path) -> None:
    removed = next(one for one in mutants_by("release", "is never so") if ">= number" in one.before)

    with Rows(folder, rows_of("release"), scenes=()) as rows:
        assert rows.killer(removed).startswith("tests/scripts/test_moves.py[release:")
        assert rows.killer(mutant("release", source_of("release") + "-- the same\n")) == ""


def test_a_key_of_the_wrong_type_kills_a_mutant(folder: Path) -> None:
    """It does what the tables say."""
    unchecked = next(one for one in mutants_by("dead_letter", "does not check a type") if "{}" in one.after)

    with Rows(folder, rows_of("dead_letter"), scenes=()) as rows:
        assert rows.killer(unchecked).startswith("tests/scripts/test_half_moves.py[dead_letter:")


def test_a_row_of_another_script_kills_a_mutant_of_what_both_share(folder: Path) -> None:
    broken = mutant("held", "return -1\n")

    with Rows(folder, rows_of("release"), scenes=()) as rows:
        assert rows.killer(broken).startswith("tests/scripts/test_moves.py[release:")


def test_a_mutant_that_loops_for_ever_is_killed(folder: Path) -> None:
    endless = mutant("unregister", "while true do end\n" + source_of("unregister"))

    with Rows(folder, rows_of("unregister")[:1], scenes=(), timeout_s=1.0) as rows:
        assert rows.killer(endless)
        assert rows.failing("unregister") == ""


@pytest.mark.parametrize("times", [1, 9])
def test_a_mutant_that_ends_the_server_twice_is_killed(folder: Path, times: int) -> None:
    """Once may be the machine's doing."""
    ended = []

    def end_server(_broker: Any) -> None:
        if len(ended) < times:
            ended.append(rows.server.pid)
            rows.server.kill()

    move = Move("unregister", "it ends the server", NO_QUEUE, end_server, None, NO_QUEUE)
    with Rows(folder, [move], scenes=()) as rows:
        assert bool(rows.failing("unregister")) == (times > 1)
        assert len(set(ended)) == min(times, 2)
        assert rows.server.client().ping()


def test_no_mutant_meets_the_rows_unless_the_unchanged_scripts_pass(folder: Path) -> None:
    unregister = folder / "workers" / "unregister.lua"
    unregister.write_text("return 7\n" + unregister.read_text())
    program = (
        "import pathlib, sys\n"
        "from tests.mutation import mutants, rows\n"
        "rows.LUA = pathlib.Path(sys.argv[1])\n"
        "mine = [one for one in mutants.all_mutants() if one.script == 'unregister']\n"
        "for one in rows.meet_rows(mine, 1, rows.LUA.parent): print('tried', one)\n"
    )

    done = run_python("-c", program, str(folder))

    assert "BaselineError: FAILED tests/scripts/test_moves.py[unregister:" in done.stderr
    assert done.stdout == ""


def test_what_survives_the_rows_meets_the_tests() -> None:
    """`record` has a row for each thing that it keeps, and tests for one thing without the others."""
    names = [line_with("unregister", "HGET"), line_with("record", "if progress ~= ''")]

    done = run_python("-m", "tests.mutation", *names, "--tests", "tests/scripts/test_record.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d mutants: [1-9]\d* killed by rows, [1-9]\d* by tests, 0 survived, ", done.stdout)


def line_with(script: str, piece: str) -> str:
    """Its name on the command line."""
    (number,) = [number for number, line in enumerate(source_of(script).splitlines(), 1) if piece in line]
    return f"{script}:{number}"


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
