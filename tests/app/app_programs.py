"""Programs with an app, and the commands that run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import QueueOptions
from tests.support.paths import ROOT

Code = Callable[..., Path]
Command = Callable[..., "Finished"]


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """code(text, "tasks"): a new directory with this module."""
    made = iter(range(100))

    def write(text: str, name: str = "tasks") -> Path:
        directory = tmp_path / f"code-{next(made)}"
        directory.mkdir()
        _write(directory / f"{name}.py", text)
        return directory

    return write


def _write(path: Path, text: str) -> None:
    lines = text.strip("\n").splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    path.write_text("\n".join(line[indent:] for line in lines) + "\n")


class Finished:
    """A command that has ended: its exit code, stdout and stderr."""

    def __init__(self, arguments: list[str], directory: Path, **env: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BIZZMQ_", "REDIS"))}
        ended = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=directory, capture_output=True, text=True, timeout=60,
            env={**environment, "PYTHONPATH": str(ROOT), **env}, check=False,
        )  # fmt: skip
        self.code, self.out, self.err = ended.returncode, ended.stdout, ended.stderr


def worker(directory: Path, *arguments: str, **env: str) -> Finished:
    return Finished(["bizzmq.workers", *arguments], directory, **env)


def published(directory: Path, url: str, call: str) -> str:
    """Run `call` in a program that imports the tasks of a directory; returns what it prints."""
    program = f"import tasks\ntasks.app._redis_url = {url!r}\nprint({call})\n"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def stored(url: str, queue: str) -> QueueOptions:
    from bizzmq.broker.broker import open_broker

    with open_broker(url) as broker:
        return broker.options(queue)
