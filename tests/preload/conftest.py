"""A directory with a user's module, and the files that the module uses."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

import pytest

from tests.pool.command import WORKER, Finished, run
from tests.preload.modules import HANDLER
from tests.support.paths import ROOT

MODULE = "users_module"


@pytest.fixture
def write(tmp_path: Path, url: str) -> Callable[[str], Path]:
    """Write the module, which can use DATA, ARCHIVE, OUT, PORT, URL and `safe`; returns its directory."""
    data, archive, out = tmp_path / "data.txt", tmp_path / "archive.zip", tmp_path / "out.txt"
    data.write_text("12345\n" * 2000)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("inner", "text")

    def make(code: str) -> Path:
        names = (
            f"DATA, ARCHIVE, OUT, URL, PORT = {str(data)!r}, {str(archive)!r}, {str(out)!r}, {url!r}, {port_of(url)}\n"
        )
        (tmp_path / f"{MODULE}.py").write_text(f"from bizzmq.preload import safe\n{names}{code}{HANDLER}")
        return tmp_path

    return make


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def check(folder: Path, *arguments: str, **env: str) -> Finished:
    """Run `bizzmq-worker --check-preload` for the module in this directory."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    return run(WORKER, "--check-preload", f"{MODULE}:handler", *arguments, PYTHONPATH=path, **env)
