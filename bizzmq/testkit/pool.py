"""Pools of real worker processes that run an app for a test."""

from __future__ import annotations

import os
import signal
import site
import sys
import sysconfig
from pathlib import Path
from typing import List, Mapping, Sequence

from bizzmq.app.app import App
from bizzmq.testing.pool import Pool
from bizzmq.testkit.app_finder import name_of

DRAIN_S = 30.0


class AppPools:
    """Starts `bizzmq-worker` for an app. A test usually starts one pool; several run beside each other.

    Args:
        app: the app, connected to a server.
        directory: for the logs.

    Attributes:
        pools: the pools in the order of their start.
    """

    def __init__(self, app: App, directory: Path) -> None:
        self._app, self._directory = app, directory
        self.pools: List[Pool] = []

    def start(self, concurrency: int = 2, args: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Pool:
        """Start a pool and wait until its workers are ready.

        The pool imports the app anew, in processes of its own: what the test has changed in the app is not there.

        Args:
            concurrency: the number of workers.
            args: further options of `bizzmq-worker`.
            env: variables to add to the environment.

        Returns:
            The pool: `worker_pids()`, `signal(number)`, `log()`, and more.

        Raises:
            AssertionError: the pool does not start; the text has its log.
            ConfigurationError: the app is no variable of a module.
        """
        for queue in self._app.queues:
            self._app.create_queue(queue)
        pool = Pool(
            self._app.redis_url, self._directory / f"pool-{len(self.pools)}.log", queue=list(self._app.queues),
            concurrency=concurrency, handler=name_of(self._app), args=args, url_in_env=True,
            env={"PYTHONPATH": _import_path(), **(env or {})},
        )  # fmt: skip
        self.pools.append(pool)
        pool.wait_ready(registered=0)
        return pool

    def stop(self, timeout_s: float = DRAIN_S) -> None:
        """Drain all pools: running messages finish.

        Raises:
            AssertionError: a pool does not end in time, or ends with an error.
        """
        running = [pool for pool in self.pools if pool.exit_code is None]
        for pool in running:
            pool.signal(signal.SIGTERM)
        for pool in running:
            code = pool.wait(timeout_s)
            assert code == 0, f"the pool ended with exit code {code}:\n{pool.log()}"

    def kill(self) -> None:
        """Kill all processes of all pools at once, as the loss of their host does."""
        for pool in self.pools:
            pool.kill_group()

    def close(self) -> None:
        """Drain the pools that run, and leave no process behind."""
        try:
            self.stop()
        finally:
            self.kill()

    def log(self) -> str:
        """What the pools have logged so far."""
        return "\n".join(pool.log() for pool in self.pools)


def _import_path() -> str:
    """The directories that only this process imports from, so that a pool finds the same modules."""
    usual = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
    return os.pathsep.join(path for path in sys.path if path and path not in usual and Path(path).is_dir())
