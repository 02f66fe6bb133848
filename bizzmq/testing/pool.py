"""A real pool of worker processes, started as a user starts it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Mapping, Sequence

import psutil
from redis import Redis
from redis.exceptions import RedisError

from bizzmq.testing.family import Family, is_living
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.ledger import LEDGER_VARIABLE
from bizzmq.testing.roles import JANITOR, TEMPLATE, WORKER, classify, ready_workers
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually

MODULE = "bizzmq.workers"
BOOT_TIMEOUT_S = 60.0
_SETTINGS = ("REDIS_URL", "PYTHONUNBUFFERED")


class Pool:
    """`python -m bizzmq.workers` in a session of its own, whose current directory is `cwd`, or else the caller's.

    Parameters: `queue` may be several names; `handler` is MODULE:CALLABLE;
    `args` are further command-line options; `env` is added to the environment, from which all settings of
    BizzMQ except the ledger's are removed first; `log_path` receives stdout and stderr. With `url_in_env` the
    address, and any password in it, is not on the command line. `output` receives stdout and stderr instead of the
    log, which then stays empty; `via` is a command that executes the pool's, such as `ip netns exec NAME`;
    `python` is the interpreter. With `of_app` the handler is an app, whose queues are `queue`: none is named on the
    command line.
    """

    def __init__(
        self,
        redis_url: str,
        log_path: Path,
        *,
        queue: str | Sequence[str] = "q",
        concurrency: int = 2,
        handler: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        module: str = MODULE,
        url_in_env: bool = False,
        output: IO[bytes] | None = None,
        via: Sequence[str] = (),
        cwd: Path | None = None,
        python: str = sys.executable,
        of_app: bool = False,
    ) -> None:
        self.queues = [queue] if isinstance(queue, str) else list(queue)
        self.concurrency = concurrency
        self.log_path = log_path
        self._redis_url = redis_url
        self._family = Family()
        options = [] if of_app else [f"--queue={name}" for name in self.queues]
        options += [f"--concurrency={concurrency}", *args]
        environment = {**_environment(), **(env or {}), **self._family.mark()}
        if url_in_env:
            environment["BIZZMQ_REDIS_URL"] = redis_url
        else:
            options.append(f"--redis-url={redis_url}")
        with log_path.open("ab") as log:
            command = [*via, python, "-m", module, *options, handler]
            self._process = spawn(command, output or log, cwd=cwd or Path.cwd(), env=environment, new_session=True)
        self._family.lead_by(self._process.pid)

    @property
    def supervisor_pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the supervisor runs; a negative signal number if one ended it."""
        return self._process.poll()

    def pids_of(self, role: str) -> list[int]:
        """The workers, janitors or templates that are alive now, in the order of their start."""
        return [
            pid
            for pid, its_role in classify(self.log()).items()
            if its_role == role and self._family.owns(pid) and _lives(pid)
        ]

    def worker_pids(self) -> list[int]:
        """The workers that are alive now, in the order of their start."""
        return self.pids_of(WORKER)

    def started_worker_pids(self) -> list[int]:
        """All workers that ever started, in that order."""
        return [pid for pid, role in classify(self.log()).items() if role == WORKER]

    def janitor_pid(self) -> int:
        """The janitor that is alive now; waits for one."""
        return self.helper_pid(JANITOR)

    def template_pid(self) -> int:
        """The template that is alive now, the latest if there are two; waits for one."""
        return self.helper_pid(TEMPLATE)

    def helper_pid(self, role: str) -> int:
        """The janitor or the template that is alive now; waits for one."""
        return eventually(lambda: self.pids_of(role), what=f"a {role}")[-1]

    def wait_ready(self, workers: int | None = None, registered: int | None = None) -> None:
        """Return when `workers` workers (default: the pool's concurrency) have started and are registered.

        `registered` is what Redis must count on the first queue if other pools share it; with an embedded
        server, Sentinel or a cluster only starts are counted. Fails at once, with the log, when the supervisor is gone.
        """
        wanted = self.concurrency if workers is None else workers
        in_redis = wanted if registered is None else registered

        def ready() -> bool:
            if self.exit_code is not None:
                return True
            workers = set(self.worker_pids())
            has_booted = workers <= ready_workers(self.log())
            return len(workers) >= wanted and has_booted and self._registered() >= in_redis

        eventually(ready, BOOT_TIMEOUT_S, lambda: f"{wanted} workers:\n{self.log()}", ignoring=(RedisError,))
        if self.exit_code is not None:
            raise AssertionError(f"the pool left with {self.exit_code} before it was ready:\n{self.log()}")

    def has_ready_worker(self) -> bool:
        """Whether any of its workers has ever imported the handler and been ready to claim."""
        return bool(ready_workers(self.log()))

    def signal(self, number: int) -> None:
        """Signal the supervisor only."""
        self._process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Signal every process of the pool, as when a whole host is suspended (SIGSTOP) and resumed."""
        self._family.signal_all(number)

    def kill_group(self) -> None:
        """SIGKILL supervisor, janitor and workers at once, as the loss of a host does."""
        self._family.kill()
        self._process.wait()

    def wait(self, timeout_s: float = 60.0) -> int:
        """The exit code; AssertionError with the log if the supervisor has not left in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the pool still runs after {timeout_s:g} s:\n{self.log()}") from None

    def log(self) -> str:
        """What the pool has written so far, stdout and stderr."""
        return self.log_path.read_text(errors="replace")

    def zombies(self) -> list[psutil.Process]:
        """Dead children of this pool that are not reaped yet."""
        return self._family.zombies()

    def living(self) -> list[psutil.Process]:
        """Every living process of this pool, including the supervisor and descendants of handlers."""
        return self._family.living()

    def assert_no_process_left(self, timeout_s: float = 20.0) -> None:
        """G6: no process of this pool or of its handlers is alive or waits to be reaped."""
        eventually(
            lambda: self.exit_code is not None and not self._family.living() and not self._family.zombies(),
            timeout_s,
            self._family.describe,
        )

    def close(self) -> None:
        """End every process that is left of the pool; may be called twice."""
        self.kill_group()

    def _registered(self) -> float:
        if self._redis_url.startswith(("embedded:", "redis+")):
            return math.inf
        with Redis.from_url(self._redis_url, protocol=2, socket_timeout=2.0) as client:
            return int(command(client, "HLEN", Keys(self.queues[0]).workers))


def _lives(pid: int) -> bool:
    try:
        return is_living(psutil.Process(pid))
    except psutil.NoSuchProcess:  # another thread has read it meanwhile
        return False


def _environment() -> dict[str, str]:
    """This process's environment without settings that would change the pool."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == LEDGER_VARIABLE or not (name.startswith("BIZZMQ_") or name in _SETTINGS)
    }
