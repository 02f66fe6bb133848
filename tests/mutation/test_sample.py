"""The mutation run kills some mutants, and an equivalent one survives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import LUA, Mutant, mutants_of

TESTS = [f"tests/scripts/test_{name}.py" for name in ("moves", "late_copies", "wrong_owner")]
# script, mistake, part of the line
FATAL = [
    ("claim", "is never so", "HEXISTS"),
    ("release", "is never so", ">= number"),
]


def mutant_of(script: str, what: str, piece: str) -> Mutant:
    source = next(LUA.glob(f"*/{script}.lua")).read_text()
    (found,) = [one for one in mutants_of(script, source) if one.what == what and piece in one.before]
    return found


def outcome_of(script: str, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script's table in its own process, as the mutation run does."""
    lua = folder / script
    shutil.copytree(LUA, lua)
    next(lua.glob(f"*/{script}.lua")).write_text(source)
    command = [sys.executable, "-m", "pytest", "-x", "-n0", "-q", "-p", "no:cacheprovider",
               "-p", "tests.mutation.plugin",
               *TESTS]  # fmt: skip
    environment = {**os.environ, "BIZZMQ_TEST_LUA": str(lua)}
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.usually(1)
@pytest.mark.parametrize("case", FATAL, ids=lambda case: f"{case[0]}-{case[1]}".replace(" ", "-"))
def test_a_mutant_is_killed(case: tuple[str, str, str], tmp_path: Path) -> None:
    mutant = mutant_of(*case)

    done = outcome_of(mutant.script, mutant.source, tmp_path)

    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout


def test_an_equivalent_script_survives(tmp_path: Path) -> None:
    source = (LUA / "messages" / "claim.lua").read_text()

    done = outcome_of("claim", source + "-- the same\n", tmp_path)

    assert done.returncode == 0, done.stdout


@pytest.mark.usually(1)
@pytest.mark.parametrize(("change", "error"), [("return 0\n", "BaselineError"), ("", "")], ids=["broken", "whole"])
def test_no_mutant_is_tried_unless_the_unchanged_scripts_pass(tmp_path: Path, change: str, error: str) -> None:
    lua = tmp_path / "lua"
    shutil.copytree(LUA, lua)
    unregister = lua / "workers" / "unregister.lua"
    unregister.write_text(change + unregister.read_text())
    program = (
        "import pathlib, sys\n"
        "from tests.mutation import runner\n"
        "runner.LUA, runner.TESTS = pathlib.Path(sys.argv[1]), sys.argv[2:]\n"
        "runner.check_baseline(['unregister'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(lua), *TESTS],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode != 0) == bool(error), done.stderr
    assert error in done.stderr
    assert "failed" in done.stderr or not error
