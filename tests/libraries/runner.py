"""Runs one row: its libraries in an environment of their own, its module under pools that are reloaded and drained."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.workers import exit_codes
from tests.libraries import programs, services
from tests.libraries.rows import EACH, FORKED, REFUSED, Row
from tests.support.paths import ROOT

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bizzmq-libraries"
MODULES = Path(__file__).parent / "modules"
PATIENCE_S = 120.0
_EACH_LINE = "each worker imports by itself"
_making = threading.Lock()


@dataclass
class Result:
    """The result of a row; `problem` is "" if everything was as expected.

    Attributes:
        missing: the Debian packages that are not installed; then nothing was tried.
        logs: the logs of its pools.
    """

    row: Row
    versions: str = ""
    preload: str = ""
    problem: str = ""
    missing: str = ""
    logs: str = ""
    took_s: float = 0.0


def run(row: Row, shared: Sequence[str] = ()) -> Result:
    """Run it in an environment with the `shared` packages, or in its own. Problems are in the result."""
    result, started_s = Result(row), time.monotonic()
    result.missing = " ".join(name for name in row.programs if programs.find(name) is None)
    if result.missing:
        return result
    try:
        python = environment(shared or row.packages)
        result.versions = versions_of(python, row.packages)
        _try(row, python, result)
        if result.preload != row.preload:
            result.problem = f"expected: {row.preload}"
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        result.problem = str(error) or repr(error)
    result.took_s = time.monotonic() - started_s
    return result


def environment(packages: Sequence[str]) -> str:
    """The interpreter of an environment with these packages and BizzMQ's own; made once."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [*setup["options"]["install_requires"].split(), *packages]
    folder = CACHE / hashlib.sha256(" ".join([sys.version, *wanted]).encode()).hexdigest()[:16]
    python = folder / "bin" / "python"
    with _making:
        if not (folder / "complete").exists():
            venv.create(folder, clear=True, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
            (folder / "complete").touch()
    return str(python)


def versions_of(python: str, packages: Sequence[str]) -> str:
    """`name 1.2` for each package."""
    names = [package.partition("[")[0] for package in packages]
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *names], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _try(row: Row, python: str, result: Result) -> None:
    """Fill in the default preload of the handler and the logs of its pools."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bizzmq-libraries-")))
        server = RedisServer()
        stack.callback(server.close)
        service = services.start(row.service, python, scratch) if row.service else None
        if service is not None:
            stack.callback(service.close)
        mq = stack.enter_context(BizzMQ(server.url))
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=row.retries, retry_backoff_s=0.0))
        stage = _Stage(row, python, mq, server, scratch, service)
        try:
            result.preload = stage.by_default()
            if result.preload != REFUSED:
                stage.hit()
                stage.without_preload()
        finally:
            result.logs = stage.logs()


class _Stage:
    """Pools of one row, one after the other, on one queue."""

    def __init__(
        self, row: Row, python: str, mq: BizzMQ, server: RedisServer, scratch: Path, service: services.Service | None
    ) -> None:
        self._row, self._python, self._mq, self._scratch, self._service = row, python, mq, scratch, service
        self._url = server.url
        self._runs = 0
        self._published = 0
        self._failing = 0

    def _pool(self, *args: str) -> Pool:
        self._runs += 1
        env = {
            "PYTHONPATH": os.pathsep.join([str(MODULES), str(ROOT)]),
            "SURROUNDINGS_OUT": str(self._out),
            "SURROUNDINGS_REDIS": self._url,
            "LIBRARIES_SERVICE": self._service.address if self._service else "",
        }
        pool = Pool(
            self._url, self._scratch / f"log-{self._runs}", handler=self._row.spec, args=[*self._row.args, *args],
            env=env, python=self._python, cwd=self._scratch,
        )  # fmt: skip
        ready = pool.concurrency
        eventually(
            lambda: pool.log().count("worker ready") >= ready or pool.exit_code is not None, PATIENCE_S, pool.log
        )
        return pool

    def _publish(self, pool: Pool, count: int) -> None:
        bodies = range(self._published, self._published + count)
        self._mq.publish_messages_to_queue("q", bodies)
        self._published += count
        self._failing += sum(body % self._row.failing == 0 for body in bodies) if self._row.failing else 0

        def handled() -> bool:
            counts = self._mq.stats("q")
            assert counts.dead_lettered_total <= self._failing, pool.log()
            assert pool.exit_code is None, pool.log()
            return (counts.acked, counts.dead_lettered_total) == (self._published - self._failing, self._failing)

        eventually(handled, PATIENCE_S, pool.log)

    def _drain(self, pool: Pool) -> None:
        pool.signal(signal.SIGTERM)
        eventually(lambda: pool.exit_code is not None, PATIENCE_S, pool.log)
        assert pool.exit_code == 0, pool.log()
        assert "worker died" not in pool.log().replace('worker died how="was killed by SIGKILL"', ""), pool.log()
        assert "cut off" not in pool.log(), pool.log()
        assert self._row.failing or "Traceback" not in pool.log(), pool.log()
        pool.assert_no_process_left()

    def by_default(self) -> str:
        """Messages, a reload, more messages, a drain: nothing fails, and no output is lost."""
        pool = self._pool()
        try:
            if pool.exit_code in (exit_codes.USAGE, exit_codes.CANNOT_BOOT):
                assert "Traceback" not in pool.log(), pool.log()
                return REFUSED
            self._publish(pool, 20)
            if self._service is not None and self._row.cut:
                self._service.end_connections()
            self._publish(pool, 20)
            pool.signal(signal.SIGHUP)
            eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
            self._publish(pool, 20)
            self._drain(pool)
            self._check(60)
            return EACH if _EACH_LINE in pool.log() else FORKED
        finally:
            pool.close()

    def hit(self) -> None:
        """Kill a worker between two messages."""
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

    def logs(self) -> str:
        """The logs of all its pools."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._scratch.glob("log-*")))

    @property
    def _out(self) -> Path:
        return self._scratch / f"out-{self._runs}"

    def _check(self, messages: int) -> None:
        check = _checker(self._row.module)
        if check is not None:
            lines = self._out.read_text().splitlines() if self._out.exists() else []
            check(*([lines, messages] if check.__code__.co_argcount == 2 else [lines]))


def _checker(module: str) -> Any:
    """The `check` function of the module alone: its libraries are not installed here."""
    source = (MODULES / f"{module}.py").read_text()
    if "def check(" not in source:
        return None
    names: dict[str, Any] = {}
    exec(compile(source[source.index("def check(") :], f"{module}.py", "exec"), names)
    return names["check"]
