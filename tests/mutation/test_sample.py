"""The mutation run works: a few mutants are killed, and one that is equivalent survives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.runner import LUA

TESTS = [f"tests/scripts/test_{name}.py" for name in ("moves", "late_copies", "wrong_owner")]
# script, what is done, and a piece of the line.
FATAL = [
    ("claim", "is never so", "HEXISTS"),
    ("release", "is never so", ">= number"),
]


def mutant_of(script: str, what: str, piece: str) -> Mutant:
    source = (LUA / f"{script}.lua").read_text()
    (found,) = [one for one in mutants_of(script, source) if one.what == what and piece in one.before]
    return found


def outcome_of(script: str, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script's table, run as the mutation run does it, in a process of its own."""
    lua = folder / script
    lua.mkdir()
    for path in LUA.glob("*.lua"):
        (lua / path.name).write_text(path.read_text())
    (lua / f"{script}.lua").write_text(source)
    command = [sys.executable, "-m", "pytest", "-x", "-n0", "-q", "-p", "no:cacheprovider",
               "-p", "tests.mutation.plugin",
               *TESTS]  # fmt: skip
    environment = {**os.environ, "BIZZMQ_TEST_LUA": str(lua)}
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", FATAL, ids=lambda case: f"{case[0]}-{case[1]}".replace(" ", "-"))
def test_a_mutant_is_killed(case: tuple[str, str, str], tmp_path: Path) -> None:
    mutant = mutant_of(*case)

    done = outcome_of(mutant.script, mutant.source, tmp_path)

    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout


def test_what_is_no_mutant_survives(tmp_path: Path) -> None:
    source = (LUA / "claim.lua").read_text()

    done = outcome_of("claim", source + "-- the same\n", tmp_path)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("change", "error"), [("", ""), ("return 0\n", "BaselineError")], ids=["whole", "broken"])
def test_no_mutant_is_tried_unless_the_scripts_as_they_are_pass(tmp_path: Path, change: str, error: str) -> None:
    lua = tmp_path / "lua"
    shutil.copytree(LUA, lua)
    (lua / "evict.lua").write_text(change + (LUA / "evict.lua").read_text())
    program = (
        "import pathlib, sys\n"
        "from tests.mutation import runner\n"
        "runner.LUA, runner.TESTS = pathlib.Path(sys.argv[1]), sys.argv[2:]\n"
        "runner.check_baseline(['evict'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(lua), *TESTS],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode != 0) == bool(error), done.stderr
    assert error in done.stderr
    assert "failed" in done.stderr or not error
