"""The tutorial runs as it is written: files, both terminals, and what they show."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT
from tests.test_docs import TIMEOUT_S, clean_environment, shell

TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^([^\n]*)\n+```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of the tutorial, and the line before it."""

    before: str
    kind: str
    code: str


def blocks() -> Iterator[Block]:
    for found in BLOCK.finditer(TUTORIAL.read_text(encoding="utf-8")):
        yield Block(*found.groups())


class SecondTerminal:
    """The pool that a reader runs beside the other commands."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home, self._environment = home, environment
        self._log = home / "second-terminal.log"
        self._pool: Optional[subprocess.Popen[bytes]] = None

    def text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def run(self, code: str) -> None:
        """Press Ctrl+C if a pool runs, and start one."""
        self.end()
        with self._log.open("ab") as log:
            seen = self.text().count("worker ready")
            self._pool = subprocess.Popen(["sh", "-c", f"exec {code.strip()}"], cwd=self._home, stdout=log, stderr=log,
                                          env=self._environment, start_new_session=True)  # fmt: skip
        eventually(lambda: self.text().count("worker ready") == seen + 2, 60.0, self.text)

    def end(self) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.send_signal(signal.SIGINT)
            try:
                assert pool.wait(40) == 0, self.text()
            finally:
                pool.kill()
                pool.wait()


def test_tutorial(url: str, tmp_path: Path) -> None:
    """Its name is short, as the path of a socket has to be."""
    environment = {**clean_environment(tmp_path), "BIZZMQ_REDIS_URL": url}
    home = tmp_path / "d"
    home.mkdir()
    second, shown, compared = SecondTerminal(home, environment), "", 0
    try:
        for block in blocks():
            if block.before.startswith("<!-- not run"):
                continue
            if block.kind == "text":
                assert block.code in shown
                compared += 1
            elif block.kind == "python":
                (home / block.before.strip("`:")).write_text(block.code, encoding="utf-8")
            elif block.before == "<!-- second terminal -->":
                second.run(block.code)
            else:
                shown = shell(block.code, home, environment)
        eventually(lambda: "charging Ada 12.50" in second.text(), TIMEOUT_S, second.text)
    finally:
        second.end()
    assert compared == 2
    assert second.text().count("message failed, will be retried") == 2


def test_each_kind_of_block_is_known() -> None:
    kinds: List[str] = [block.kind for block in blocks()]
    assert set(kinds) == {"sh", "python", "text"}
    assert kinds.count("sh") == len([one for one in TUTORIAL.read_text().splitlines() if one == "```sh"])
