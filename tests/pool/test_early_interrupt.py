"""Ctrl+C while a command is still importing its modules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bizzmq.testing.wait import eventually
from tests.pool.command import NAMES, OPERATOR, WORKER
from tests.support.paths import ROOT

PATIENCE_S = 30.0
SLOW = "import os, pathlib, time\npathlib.Path(os.environ['IMPORTING']).touch()\ntime.sleep(600)\n"
"""A slow module that shadows the requested one."""


def _interrupted(tmp_path: Path, command: list[str], slow: str) -> tuple[int, str]:
    """The exit code and stderr of a command that gets SIGINT while it imports this module."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{slow}.py").write_text(SLOW)
    marker = tmp_path / "importing"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path / 'path'}:{ROOT}", "IMPORTING": str(marker)}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env, cwd=str(tmp_path),
        preexec_fn=_interruptible,  # noqa: PLW1509 - this process has no threads that hold locks
    )  # fmt: skip
    try:
        eventually(marker.exists, PATIENCE_S, lambda: f"the import, the exit code is {process.poll()}")
        process.send_signal(signal.SIGINT)
        _, reported = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    return process.returncode, reported


def _interruptible() -> None:
    """Restore SIGINT, which background jobs of a shell without job control inherit as ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _script(tmp_path: Path, module: str) -> Path:
    """The script that an installer generates for an entry point."""
    path = tmp_path / NAMES[module]
    path.write_text(f"import sys\nfrom {module}.__main__ import main\nsys.exit(main())\n")
    return path


@pytest.mark.parametrize("slow", ["redis", "click"])
@pytest.mark.parametrize("module", [OPERATOR, WORKER])
def test_a_command_interrupted_during_its_imports_prints_one_line(tmp_path: Path, module: str, slow: str) -> None:
    code, reported = _interrupted(tmp_path, [sys.executable, str(_script(tmp_path, module)), "--help"], slow)

    assert (code, reported) == (130, f"{NAMES[module]}: interrupted\n")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="older versions do not show a module that it is run with -m")
@pytest.mark.parametrize("slow", ["redis", "click"])
@pytest.mark.parametrize("module", [OPERATOR, WORKER])
def test_python_m_interrupted_during_its_imports_prints_one_line(tmp_path: Path, module: str, slow: str) -> None:
    code, reported = _interrupted(tmp_path, [sys.executable, "-m", module, "--help"], slow)

    assert (code, reported) == (130, f"{NAMES[module]}: interrupted\n")


def test_another_program_gets_a_normal_keyboard_interrupt(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("try:\n    import bizzmq\nexcept KeyboardInterrupt:\n    raise SystemExit(7)\n")

    assert _interrupted(tmp_path, [sys.executable, str(tmp_path / "mine.py")], "redis") == (7, "")
