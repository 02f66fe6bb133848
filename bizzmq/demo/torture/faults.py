"""Injects the planned faults of `bizzmq demo --torture` into a pool: kills, signals, and broken code."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from bizzmq.demo.ledger import Run, read_runs
from bizzmq.demo.live_output import LiveOutput
from bizzmq.demo.torture import plan
from bizzmq.demo.torture.module import GeneratedModule
from bizzmq.demo.torture.plan import Action
from bizzmq.demo.torture.pool import TorturePool

_SIGNALS = {
    plan.ADD: signal.SIGTTIN, plan.REMOVE: signal.SIGTTOU, plan.STACKS: signal.SIGUSR1, plan.RESIZE: signal.SIGWINCH,
    plan.PAUSE: signal.SIGTSTP, plan.RESUME: signal.SIGCONT,
}  # fmt: skip


class FaultInjector:
    """Injects faults into one pool.

    Attributes:
        killed: the pids of the workers that it has killed.
    """

    def __init__(self, pool: TorturePool, module: GeneratedModule, ledger: Path, show: LiveOutput, seed: int) -> None:
        self._pool, self._module, self._ledger, self._show = pool, module, ledger, show
        self._rng = random.Random(seed)
        self._hit: set[str] = set()
        self.killed: set[int] = set()

    def do(self, action: Action) -> None:
        """Perform an action of the plan, except publishing."""
        if action.what == plan.KILL_WORKER:
            self._kill_worker()
        elif action.what == plan.KILL_TEMPLATE:
            self._kill_role("template")
        elif action.what == plan.KILL_JANITOR:
            self._kill_role("janitor")
        elif action.what in (plan.BREAK, plan.REPAIR, plan.RELOAD):
            self.reload(action.detail or "", action.what)
        else:
            number = _SIGNALS[action.what]
            self._show.injected(action.what, number.name)
            self._pool.signal(number)

    def reload(self, flaw: str = "", what: str = plan.RELOAD) -> None:
        """Write the next generation of the module, with a flaw if one is given, and send SIGHUP."""
        self._module.write(flaw)
        about = f"generation {self._module.generation} {flaw}" if flaw else f"generation {self._module.generation}"
        self._show.injected(what, f"{about}, SIGHUP")
        self._pool.signal(signal.SIGHUP)

    def _kill_worker(self) -> None:
        """Kill a worker, preferably one that is running a message that was not interrupted before.

        The pool would rightly quarantine a message whose worker is killed three times.
        """
        workers = self._pool.living("worker")
        if not workers:
            self._show.line("does", "no worker to kill")
            return
        last: dict[int, Run] = {run.pid: run for run in read_runs(self._ledger)}
        running = {pid: last[pid].message_id for pid in workers if pid in last and last[pid].end_s is None}
        fresh = [pid for pid in workers if running.get(pid) not in self._hit]
        victim = self._rng.choice([pid for pid in fresh if pid in running] or fresh or workers)
        if not _kill(victim):
            self._show.line("does", f"nothing: {victim} has just left")
            return
        self.killed.add(victim)
        self._hit.add(running.get(victim, ""))
        about = f", which ran {running[victim]}" if victim in running else ", which ran nothing"
        self._show.injected(plan.KILL_WORKER, f"SIGKILL to {victim}{about}")

    def _kill_role(self, role: str) -> None:
        victims = self._pool.living(role)
        if not victims or not _kill(victims[-1]):
            self._show.line("does", f"nothing: there is no {role}")
            return
        self._show.injected(f"kill the {role}", f"SIGKILL to {victims[-1]}")


def _kill(pid: int) -> bool:
    """Send SIGKILL; False if the process no longer exists."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
