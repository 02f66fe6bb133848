"""docs/testing.md is what it says: its programs are written down and its commands run, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FILE = re.compile(r"^`([a-z_]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```sh\n(.*?)\n^```$", re.MULTILINE | re.DOTALL)
TEXT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
COMMANDS = COMMAND.findall(TEXT)
TIMEOUT_S = 100.0


def written(directory: Path) -> list[str]:
    """Write the document's files, and the commands that an installation would have; returns the files' names."""
    for name, code in FILE.findall(TEXT):
        (directory / name).write_text(code, encoding="utf-8")
    for command in ("bizzmq", "pytest"):
        script = directory / "bin" / command
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {command} "$@"\n')
        script.chmod(0o755)
    return [name for name, _ in FILE.findall(TEXT)]


def test_every_block_is_one_that_is_run() -> None:
    assert TEXT.count("```python") == len(FILE.findall(TEXT)) == 3
    assert TEXT.count("```sh") == len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_what_it_says_works(command: str, tmp_path: Path) -> None:
    assert written(tmp_path) == ["tasks.py", "test_tasks.py", "test_torture.py"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    shorter = command.replace("--seconds 60", "--seconds 3")

    done = subprocess.run(
        ["sh", "-c", shorter], cwd=tmp_path, env={**inherited, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout.decode()
