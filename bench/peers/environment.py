"""The environments of the peers: made on first use in $BIZZMQ_BENCH_HOME or ~/.cache/bizzmq-bench."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Tuple

from bench.peers.peer import NODE, RUBY, Peer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = "BIZZMQ_BENCH_HOME"


class NotThere(Exception):  # noqa: N818 - a fact about this machine, not an error
    """The peer cannot run here; the text gives the reason."""


@dataclass(frozen=True)
class Environment:
    """The environment of a peer: its interpreter, the folder of its commands, and its working directory."""

    python: str
    bin: Path
    folder: Path
    node_path: str = ""

    def command(self, words: Tuple[str, ...], url: str) -> list[str]:
        return [word.format(python=self.python, bin=self.bin, url=url) for word in words]

    def variables(self, hidden: str) -> dict[str, str]:
        """The environment variables of its processes; modules in the `hidden` folder shadow all others."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BIZZMQ_", "PYTHON"))}
        own = [ROOT] if self.bin == Path(self.python).parent else []
        paths = [*([self.folder.parent / hidden] if hidden else []), self.folder, *own]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_PATH": self.node_path,
        }


def home() -> Path:
    return Path(os.environ.get(HOME) or Path.home() / ".cache" / "bizzmq-bench")


def prepare(peer: Peer) -> Environment:
    """The environment of a peer, installed on first use. Raises NotThere."""
    if peer.is_own:
        return Environment(sys.executable, Path(sys.executable).parent, HERE / "apps")
    if peer.language == RUBY:
        return _ruby()
    return _node(peer) if peer.language == NODE else _python(peer)


def _python(peer: Peer) -> Environment:
    folder, pinned = home() / peer.environment, HERE / f"{peer.environment}.txt"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if not done.exists() or done.read_text() != pinned.read_text():
        _run([_interpreter(peer.minimum), "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pinned)])
        done.write_text(pinned.read_text())
    return Environment(str(python), folder / "bin", HERE / "apps")


def _node(peer: Peer) -> Environment:
    folder, pinned = home() / peer.environment, HERE / "node" / "package.json"
    done = folder / "installed.json"
    _need("node", "npm")
    if not done.exists() or done.read_text() != pinned.read_text():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(pinned), str(folder / "package.json"))
        _run(["npm", "install", "--silent", "--prefix", str(folder)])
        done.write_text(pinned.read_text())
    return Environment("node", folder, HERE / "node", str(folder / "node_modules"))


def _ruby() -> Environment:
    _need("ruby", "sidekiq")
    return Environment("ruby", Path("/usr/bin"), HERE / "ruby")


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise NotThere(f"{' and '.join(missing)} not found")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reported = getattr(error, "stderr", "") or str(error)
        raise NotThere(f"{command[0]}: {reported.strip().splitlines()[-1]}") from error


def _interpreter(minimum: Tuple[int, int]) -> str:
    """The path of this interpreter if it is new enough, else of another on PATH or of pyenv."""
    if sys.version_info[:2] >= minimum:
        return sys.executable
    for found in _interpreters(minimum):
        return found
    raise NotThere(f"needs Python {minimum[0]}.{minimum[1]} or newer")


def _interpreters(minimum: Tuple[int, int]) -> Iterator[str]:
    for minor in range(minimum[1], minimum[1] + 4):
        found = shutil.which(f"python3.{minor}")
        if found is not None and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            yield found
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        yield from (str(path) for path in sorted(pyenv.glob(f"3.{minor}.*/bin/python3")))
