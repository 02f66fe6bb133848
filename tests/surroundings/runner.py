"""Runs one row: libraries in an environment of their own, the module under pools that are reloaded, hit, drained."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Sequence

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT
from tests.surroundings.rows import EACH, FORKED, Row

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bizzmq-surroundings"
MODULES = Path(__file__).parent / "modules"
PATIENCE_S = 120.0
_EACH_LINE = "each worker imports by itself"


@dataclass
class Result:
    """What became of a row; `problem` is "" if all was as it should be."""

    row: Row
    versions: str
    preload: str
    problem: str
    took_s: float


def run(row: Row) -> Result:
    """Try it. What is wrong is in the result, not raised."""
    started_s = time.monotonic()
    versions, seen = "", ""
    try:
        python = environment(row.packages)
        versions = versions_of(python, row.packages)
        seen = _try(row, python)
        problem = "" if seen == row.preload else f"expected: {row.preload}"
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        problem = str(error)
    return Result(row, versions, seen, problem, time.monotonic() - started_s)


def environment(packages: Sequence[str]) -> str:
    """The interpreter of an environment with these packages and BizzMQ as it is here; made once."""
    text = " ".join([sys.version, str(ROOT), *packages])
    folder = CACHE / hashlib.sha256(text.encode()).hexdigest()[:16]
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-e", ROOT, *packages], check=True)
        (folder / "complete").touch()
    return str(python)


def versions_of(python: str, packages: Sequence[str]) -> str:
    """`name 1.2` for each package."""
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *packages], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _try(row: Row, python: str) -> str:
    """Returns how the handler was preloaded by default."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-surroundings-") as scratch:
        server = RedisServer()
        try:
            with BizzMQ(server.url) as mq:
                mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0, retry_backoff_s=0.0))
                stage = _Stage(row, python, mq, server, Path(scratch))
                preload = stage.by_default()
                stage.hit()
                stage.without_preload()
                return preload
        finally:
            server.close()


class _Stage:
    """Pools of one row, one after the other, on one queue."""

    def __init__(self, row: Row, python: str, mq: BizzMQ, server: RedisServer, scratch: Path) -> None:
        self._row, self._python, self._mq, self._server, self._scratch = row, python, mq, server, scratch
        self._runs = 0
        self._published = 0

    def _pool(self, *args: str) -> Pool:
        self._runs += 1
        out = self._scratch / f"out-{self._runs}"
        pool = Pool(
            self._server.url, self._scratch / f"log-{self._runs}", handler=f"{self._row.module}:handler", args=args,
            env={"PYTHONPATH": str(MODULES), "SURROUNDINGS_OUT": str(out)}, python=self._python, cwd=self._scratch,
        )  # fmt: skip
        eventually(lambda: "worker ready" in pool.log() or pool.exit_code is not None, PATIENCE_S, pool.log)
        return pool

    def _publish(self, pool: Pool, count: int) -> None:
        self._mq.publish_messages_to_queue("q", range(self._published, self._published + count))
        self._published += count

        def handled() -> bool:
            counts = self._mq.stats("q")
            assert counts.dead_lettered_total == 0, pool.log()
            assert pool.exit_code is None, pool.log()
            return counts.acked == self._published

        eventually(handled, PATIENCE_S, pool.log)

    def _drain(self, pool: Pool) -> None:
        pool.signal(signal.SIGTERM)
        eventually(lambda: pool.exit_code is not None, PATIENCE_S, pool.log)
        assert pool.exit_code == 0, pool.log()
        assert "worker died" not in pool.log().replace('worker died how="was killed by SIGKILL"', ""), pool.log()

    def by_default(self) -> str:
        """Messages, a reload, more messages, a drain: nothing fails, and nothing of what was written is lost."""
        pool = self._pool()
        try:
            self._publish(pool, 40)
            pool.signal(signal.SIGHUP)
            eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
            self._publish(pool, 20)
            self._drain(pool)
            self._check(60)
            return EACH if _EACH_LINE in pool.log() else FORKED
        finally:
            pool.close()

    def hit(self) -> None:
        """A worker is killed between messages."""
        pool = self._pool()
        try:
            self._publish(pool, 10)
            os.kill(pool.worker_pids()[0], signal.SIGKILL)
            self._publish(pool, 20)
            self._drain(pool)
        finally:
            pool.close()

    def without_preload(self) -> None:
        pool = self._pool("--preload=off", "--max-messages=8")
        try:
            self._publish(pool, 30)
            self._drain(pool)
            self._check(30)
        finally:
            pool.close()

    def _check(self, messages: int) -> None:
        check = _checker(self._row.module)
        if check is not None:
            out = self._scratch / f"out-{self._runs}"
            lines = out.read_text().splitlines() if out.exists() else []
            check(*([lines, messages] if check.__code__.co_argcount == 2 else [lines]))


def _checker(module: str) -> Any:
    """The module's `check`, alone: its libraries are not here."""
    source = (MODULES / f"{module}.py").read_text()
    if "def check(" not in source:
        return None
    names: dict[str, Any] = {}
    exec(compile(source[source.index("def check(") :], f"{module}.py", "exec"), names)
    return names["check"]


def table(results: Sequence[Result]) -> List[str]:
    """In Markdown."""
    lines = ["| module | libraries | by default | to know |", "| --- | --- | --- | --- |"]
    for result in results:
        said = f"**{result.problem.splitlines()[0][:100]}**" if result.problem else result.row.note
        lines.append(f"| `{result.row.module}` | {result.versions or '-'} | {result.preload} | {said} |")
    return lines
