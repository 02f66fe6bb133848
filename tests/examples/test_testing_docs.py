"""docs/guide/testing.md works: its programs are saved and its commands run, as a reader would do it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FILE = re.compile(r"^`([a-z_]+\.(?:py|ini))`:\n\n```(?:python|ini)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```sh\n(.*?)\n^```$", re.MULTILINE | re.DOTALL)
TEXT = (ROOT / "docs" / "guide" / "testing.md").read_text(encoding="utf-8")
COMMANDS = COMMAND.findall(TEXT)
FILES = ["shop.py", "test_shop.py", "pytest.ini", "tasks.py", "test_tasks.py", "test_torture.py"]
PLUGIN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_bizzmq"}
"""Pytest finds the plugin of an installed BizzMQ by itself; here it runs from the source tree."""
TIMEOUT_S = 100.0


def written(directory: Path) -> list[str]:
    """Write the document's files and the installed commands; returns the names of the files."""
    for name, code in FILE.findall(TEXT):
        (directory / name).write_text(code, encoding="utf-8")
    for command in ("bizzmq", "pytest"):
        script = directory / "bin" / command
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {command} "$@"\n')
        script.chmod(0o755)
    return [name for name, _ in FILE.findall(TEXT)]


def test_every_block_of_code_is_run() -> None:
    assert TEXT.count("```python") + TEXT.count("```ini") == len(FILE.findall(TEXT)) == 6
    assert TEXT.count("```sh") == len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_commands_work(command: str, tmp_path: Path) -> None:
    assert written(tmp_path) == FILES
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    shorter = command.replace("--seconds 60", "--seconds 3")

    done = subprocess.run(
        ["sh", "-c", shorter], cwd=tmp_path, env={**inherited, **PLUGIN, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout.decode()
