"""The types of the public API, as the two type checkers of the field see them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Set

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
USES, WRONG_CALLS = HERE / "uses.py", HERE / "wrong_calls.py"


def reported_by_mypy(file: Path, directory: Path) -> Dict[int, str]:
    pytest.importorskip("mypy", reason="mypy is in the extra dev")
    (directory / "mypy.ini").write_text("[mypy]\nstrict = True\n")
    command = [sys.executable, "-m", "mypy", "--config-file", str(directory / "mypy.ini"), "--cache-dir",
               str(directory / "cache"), "--no-error-summary", "--hide-error-context", str(file)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    lines = re.findall(rf"^(.*{file.name}|[^:]+):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert bool(lines) == (done.returncode == 1), done.stdout
    return {int(number): text for _, number, text in lines}


def reported_by_pyright(file: Path, directory: Path) -> Dict[int, str]:
    pytest.importorskip("pyright", reason="pyright is in the extra dev")
    version = subprocess.run(
        [sys.executable, "-m", "pyright", "--version"], capture_output=True, text=True, check=False
    )
    if version.returncode != 0:
        pytest.skip("pyright cannot be installed here: " + version.stderr.strip()[-200:])
    (directory / file.name).write_text(file.read_text())  # pyright looks at files below its project only
    project = {"include": [file.name], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)],
               "pythonVersion": "{}.{}".format(*sys.version_info[:2])}  # fmt: skip
    (directory / "pyrightconfig.json").write_text(json.dumps(project))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(directory), "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    report = json.loads(done.stdout[done.stdout.index("{") :])
    assert report["summary"]["filesAnalyzed"] == 1, done.stdout
    found = [one for one in report["generalDiagnostics"] if one["severity"] == "error"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in found}


CHECKERS = [reported_by_mypy, reported_by_pyright]


def marked_lines() -> Set[int]:
    lines: List[str] = WRONG_CALLS.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong:" in line}


@pytest.mark.parametrize("reported_by", CHECKERS)
def test_the_whole_api_of_tasks_is_typed(reported_by: object, tmp_path: Path) -> None:
    assert callable(reported_by)
    assert reported_by(USES, tmp_path) == {}


@pytest.mark.parametrize("reported_by", CHECKERS)
def test_each_wrong_call_is_reported_and_nothing_else(reported_by: object, tmp_path: Path) -> None:
    assert callable(reported_by)
    reported = reported_by(WRONG_CALLS, tmp_path)
    assert set(reported) == marked_lines(), reported
