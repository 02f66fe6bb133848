"""Pool faults, and the pools they hit: one is killed and started again, the others only lose workers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from pathlib import Path
from typing import Callable, Mapping

from bizzmq.testing.pool import Pool
from bizzmq.testing.roles import JANITOR, TEMPLATE, WORKER
from bizzmq.testing.strike import Hit, Kind, Reach
from bizzmq.testing.tail import message_under_way
from bizzmq.testing.wait import eventually

POOL = "pool"
"""The group of faults that end the whole pool: it has to be back before the next fault of this group."""
_BUSY_S = 0.3
"""How long to wait for a worker that is running a message."""


class Host:
    """Starts pools with `start(number)` and injects faults into them.

    Parameters: `bystanders` pools live as long as this host: only their workers, janitors and templates are killed.
    `ledger` shows what the workers are running. A context manager: leaving it ends every pool.
    """

    def __init__(self, start: Callable[[int], Pool], ledger: Path, bystanders: int = 0) -> None:
        self._start, self._ledger = start, ledger
        self._hit: set[str] = set()
        self._stopped: set[int] = set()
        self.pools: list[Pool] = []
        self.bystanders: list[Pool] = []
        self.fell: set[Pool] = set()
        try:
            for _ in range(bystanders):
                self.bystanders.append(self.start())
            self.pool = self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> Pool:
        """Start one more pool."""
        self.pool = self._start(len(self.pools))
        self.pools.append(self.pool)
        return self.pool

    def living(self) -> list[Pool]:
        """The pools whose supervisor is alive."""
        return [pool for pool in self.pools if pool.exit_code is None]

    def kinds(self) -> Mapping[str, Kind]:
        """The kinds of fault that can hit pools."""
        kinds = [
            Kind("worker-kill", self._kill_worker, Reach.LAST, weight=4),
            Kind("worker-stop", self._stop_worker, lasts_s=(0.2, 2.0)),
            Kind("janitor-kill", lambda rng: self._kill_helper(JANITOR, rng)),
            Kind("template-kill", lambda rng: self._kill_helper(TEMPLATE, rng)),
            Kind("supervisor-kill", self._kill_supervisor, Reach.POOL, lasts_s=(0.0, 1.0), alone_in=POOL, settles_s=2),
            Kind("host-kill", self._kill_host, Reach.POOL, lasts_s=(0.0, 1.0), alone_in=POOL, settles_s=2),
        ]
        return {kind.name: kind for kind in kinds}

    def close(self) -> None:
        """End every process that is left of all pools; may be called twice."""
        for pool in self.pools:
            pool.close()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _kill_worker(self, rng: random.Random) -> Hit:
        """SIGKILL a worker, preferably one that is running a message which was not hit before.

        A message that is hit repeatedly is quarantined, as it should be: the pool cannot know the cause.
        """
        workers = self._workers()
        busy: dict[int, str] = {}

        def is_busy() -> bool:
            for pid in workers:
                message = message_under_way(self._ledger, pid)
                if message and message not in self._hit:
                    busy[pid] = message
            return bool(busy)

        with contextlib.suppress(AssertionError):
            eventually(is_busy, _BUSY_S)
        if not workers:
            return Hit()
        victim = rng.choice(sorted(busy) or workers)
        self._hit.add(busy.get(victim, ""))
        if not _signal(victim, signal.SIGKILL):
            return Hit()
        about = f"{victim}, which ran {busy[victim]}" if victim in busy else f"{victim}, which ran nothing"
        return Hit(about, pids=lambda: (victim,))

    def _stop_worker(self, rng: random.Random) -> Hit:
        workers = [pid for pid in self._workers() if pid not in self._stopped]
        if not workers:
            return Hit()
        victim = rng.choice(workers)
        if not _signal(victim, signal.SIGSTOP):
            return Hit()
        self._stopped.add(victim)

        def go_on() -> None:
            self._stopped.discard(victim)
            if any(victim in pool.pids_of(WORKER) for pool in self.pools[-3:] + self.bystanders):
                _signal(victim, signal.SIGCONT)

        return Hit(str(victim), go_on)

    def _kill_helper(self, role: str, rng: random.Random) -> Hit:
        victims = [pid for pool in self.living() for pid in pool.pids_of(role)]
        if not victims:
            return Hit()
        victim = rng.choice(victims)
        return Hit(str(victim)) if _signal(victim, signal.SIGKILL) else Hit()

    def _kill_supervisor(self, _rng: random.Random) -> Hit:
        """SIGKILL the supervisor. Its workers finish their messages and exit."""
        return self._fell(lambda pool: pool.signal(signal.SIGKILL))

    def _kill_host(self, _rng: random.Random) -> Hit:
        """SIGKILL every process of the pool at once."""
        return self._fell(Pool.kill_group)

    def _fell(self, kill: Callable[[Pool], object]) -> Hit:
        pool = self.pool
        if pool.exit_code is not None:
            return Hit()
        self.fell.add(pool)
        living, started = set(pool.worker_pids()), frozenset(pool.started_worker_pids())
        kill(pool)

        def reached() -> set[int]:
            return living.union(pool.started_worker_pids()) - (started - living)

        return Hit(str(pool.supervisor_pid), self.start, reached, started)

    def _workers(self) -> list[int]:
        return [pid for pool in self.living() for pid in pool.worker_pids()]


def _signal(pid: int, number: int) -> bool:
    """Send a signal; False if the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
