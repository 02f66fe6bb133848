"""Does to a pool what the plan of `bizzmq demo --torture` says: kills, signals, and broken code."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from bizzmq import torture_plan as plan
from bizzmq.demo_ledger import Run, read_runs
from bizzmq.torture_module import Module
from bizzmq.torture_plan import Action
from bizzmq.torture_pool import TorturePool
from bizzmq.torture_show import Show

_SIGNALS = {
    plan.ADD: signal.SIGTTIN, plan.REMOVE: signal.SIGTTOU, plan.STACKS: signal.SIGUSR1, plan.RESIZE: signal.SIGWINCH,
    plan.PAUSE: signal.SIGTSTP, plan.RESUME: signal.SIGCONT,
}  # fmt: skip


class Attack:
    """One pool's tormentor.

    Attributes:
        killed: the workers that have got SIGKILL from here.
    """

    def __init__(self, pool: TorturePool, module: Module, ledger: Path, show: Show, seed: int) -> None:
        self._pool, self._module, self._ledger, self._show = pool, module, ledger, show
        self._rng = random.Random(seed)
        self._hit: set[str] = set()
        self.killed: set[int] = set()

    def do(self, action: Action) -> None:
        """Anything but publishing."""
        if action.what == plan.KILL_WORKER:
            self._kill_worker()
        elif action.what == plan.KILL_TEMPLATE:
            self._kill_role("template")
        elif action.what == plan.KILL_JANITOR:
            self._kill_role("janitor")
        elif action.what in (plan.BREAK, plan.MEND, plan.RELOAD):
            self.reload(action.detail or "", action.what)
        else:
            number = _SIGNALS[action.what]
            self._show.did(action.what, number.name)
            self._pool.signal(number)

    def reload(self, flaw: str = "", what: str = plan.RELOAD) -> None:
        """Write the module anew, with a flaw if one is given, and send SIGHUP."""
        self._module.write(flaw)
        about = f"generation {self._module.generation} {flaw}" if flaw else f"generation {self._module.generation}"
        self._show.did(what, f"{about}, SIGHUP")
        self._pool.signal(signal.SIGHUP)

    def _kill_worker(self) -> None:
        """SIGKILL a worker, preferably one in the middle of a message that was not cut off before.

        The same message thrice would be quarantined, and rightly, as far as the pool can know.
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
        self._show.did(plan.KILL_WORKER, f"SIGKILL to {victim}{about}")

    def _kill_role(self, role: str) -> None:
        victims = self._pool.living(role)
        if not victims or not _kill(victims[-1]):
            self._show.line("does", f"nothing: there is no {role}")
            return
        self._show.did(f"kill the {role}", f"SIGKILL to {victims[-1]}")


def _kill(pid: int) -> bool:
    """SIGKILL; False if nobody is there any more."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
