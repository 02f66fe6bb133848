"""The state of the pool as plain data, for the control socket, the health port and the service manager."""

from __future__ import annotations

import os
import time
from typing import Any

import bizzmq
from bizzmq.metrics.columns import is_key
from bizzmq.metrics.prometheus import MeasuredPool, MeasuredRow, queue_of_gauges
from bizzmq.metrics.reporter import POOL_ROWS
from bizzmq.metrics.table import MetricsTable, size_of
from bizzmq.metrics.wanted import RunTimes, need_of, wanted
from bizzmq.protocol.keys import is_dead_letter_queue, logical_queue
from bizzmq.utils import clock, logs
from bizzmq.utils.wording import counted
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.process.usage import Meter, Usage
from bizzmq.workers.supervisor.children.template_process import TemplateProcess
from bizzmq.workers.supervisor.components import Components
from bizzmq.workers.supervisor.drain import DrainState
from bizzmq.workers.supervisor.slot import Phase, Slot

_WITHOUT_PROCESS = {Phase.EMPTY: "waiting", Phase.FAILED: "failed", Phase.DONE: "done"}
_ACTIVITIES = {
    Activity.BOOTING: "booting", Activity.IDLE: "idle", Activity.RUNNING: "running",
    Activity.SETTLING: "settling", Activity.LEFT: "retiring",
}  # fmt: skip
_FRESH_S = 60.0
"""What is older says nothing about the queues now."""
_WORKER_STATES = ("booting", "idle", "running", "settling", "retiring")


class PoolStatus:
    """Reads everything, changes nothing. It costs nothing until it is asked."""

    def __init__(self, components: Components, config: WorkerConfig) -> None:
        self._supervisor = components.supervisor
        self._config = config
        self._worker_pool = components.worker_pool
        self._preloader = components.preloader
        self._rolling_restart = components.rolling_restart
        self._janitor = components.janitor
        self._drain = components.drain
        self._scoreboard = components.scoreboard
        self._gate = components.scoreboard.gate
        self._totals = components.post_mortem
        self._meter = Meter()
        self._started_s = clock.monotonic()

    @property
    def reloads(self) -> int:
        """How many reloads have begun."""
        return self._rolling_restart.reloads

    @property
    def reloading(self) -> bool:
        """Whether a reload is under way."""
        return self._rolling_restart.busy

    @property
    def working(self) -> int:
        """How many workers claim messages."""
        return sum(slot.working and slot.is_counted for slot in self._worker_pool.up)

    def state(self) -> str:
        """`working`, or what the pool does instead: `stopping`, `draining`, `paused` or `reloading`."""
        if self._drain.state is DrainState.STOPPING:
            return "stopping"
        if self._drain.begun:
            return "draining"
        if self._gate.paused:
            return "paused"
        return "reloading" if self.reloading else "working"

    def check(self) -> str:
        """The answer to `check`: `ok`, or a state other than `working`."""
        state = self.state()
        return "ok" if state == "working" else state

    def readiness_problem(self) -> str | None:
        """Why the pool cannot handle messages now, or None."""
        if self._drain.begun:
            return self.state()
        if self._gate.paused:
            return "paused"
        if not self.working:
            return "no worker works"
        if self._janitor.redis_is_away:
            return "Redis is away"
        return "every queue is set aside" if all(map(self._aside, self._config.queues)) else None

    def busy_with(self) -> str | None:
        """What the pool still runs or holds, or None if it is idle."""
        states = [(slot, slot.activity.read()) for slot in self._worker_pool.up]
        running = sum(one.activity in (Activity.RUNNING, Activity.SETTLING) for _, one in states)
        if running:
            return f"{counted(running, 'worker runs', 'workers run')} a message"
        holding = sum(bool(one.last_finished) for _, one in states)
        if holding:
            return f"{counted(holding, 'worker has', 'workers have')} finished a message that is not acked yet"
        return "the messages of a dead worker are not requeued yet" if self._janitor.owes_requeues else None

    def wanted(self, goal_s: float, assumed_run_s: float) -> dict[str, Any] | None:
        """How many workers and pools the queues need; None if Redis has not said anything lately.

        Args:
            goal_s: what waits now is to be begun within this time.
            assumed_run_s: the run time of a message of which nothing is measured.
        """
        janitor = self._janitor
        if not janitor.lengths or clock.monotonic() - janitor.lengths_at_s > _FRESH_S:
            return None
        needs = [
            need_of(
                queue, lengths[0], lengths[1], lengths[2], RunTimes(*janitor.runs.get(queue, ())),
                goal_s=goal_s, assumed_run_s=assumed_run_s,
            )
            for queue, lengths in janitor.lengths.items()
        ]  # fmt: skip
        return wanted(needs, self._config.worker_count)

    def _aside(self, queue: str) -> str:
        """What is wrong with a queue, or with one of its shards, that is set aside; "" if it is not."""
        return next((text for name, text in self._janitor.aside.items() if logical_queue(name) == queue), "")

    def headline(self) -> str:
        """One line for the service manager. It changes only when the state of the pool does."""
        facts = [f"{self.state()}, {self.working} of {self._worker_pool.target} workers"]
        if self._janitor.redis_is_away:
            facts.append("Redis is away")
        aside = [queue for queue in self._config.queues if self._aside(queue)]
        if aside:
            facts.append(f"set aside: {', '.join(aside)}")
        if self._rolling_restart.last_error:
            facts.append(f"the last reload failed: {self._rolling_restart.last_error[:200]}")
        return ", ".join(facts)

    def measured(self) -> MeasuredPool:
        """What the pool has measured since it was started, for Prometheus."""
        now_s, janitor, workers = clock.monotonic(), self._janitor, dict.fromkeys(_WORKER_STATES, 0)
        for slot in self._worker_pool.up:
            workers[_state(slot, slot.activity.read())] += 1
        return MeasuredPool(
            rows=self._rows(),
            queues={
                queue: queue_of_gauges(
                    lengths, now_s - janitor.lengths_at_s, is_dead_letter_queue=is_dead_letter_queue(queue)
                )
                for queue, lengths in janitor.lengths.items()
            },
            workers=workers, target=self._worker_pool.target, is_ready=not self.readiness_problem(),
            is_redis_up=not janitor.redis_is_away, started_at_s=time.time() - (now_s - self._started_s),
            about={"version": bizzmq.__version__, "code": self._config.code_version},
        )  # fmt: skip

    def _rows(self) -> list[MeasuredRow]:
        """What all slots have measured, by queue and task. They only grow."""
        total = MetricsTable(bytearray(size_of(POOL_ROWS)), POOL_ROWS)
        for table in self._scoreboard.all_metrics():
            for row in table.rows():
                total.add(row)
        queues = self._config.queues
        return [
            MeasuredRow(queues[row.queue], row.task, row.cells)
            for row in total.rows()
            if row.queue < len(queues) and not is_key(row.task)  # keys are without number, and labels must not be
        ]

    def snapshot(self) -> dict[str, Any]:
        """The answer to `status`, ready for JSON. Times in seconds, memory in bytes."""
        now_s = clock.monotonic()
        slots = [slot for slot in self._worker_pool.slots if slot.phase is not Phase.FREE]
        usage = self._meter.measure({slot.pid: slot.started_s for slot in slots if slot.pid})
        snapshots = {slot.index: slot.activity.read() for slot in slots}
        up = [snapshots[slot.index] for slot in slots if slot.phase is Phase.UP]
        return {
            "supervisor": self._supervisor,
            "pid": os.getpid(),
            "version": bizzmq.__version__,
            "uptime_s": round(now_s - self._started_s, 3),
            "state": self.state(),
            "not_ready": self.readiness_problem() or "",
            "working": self.working,
            "target_workers": self._worker_pool.target,
            "min_workers": self._config.min_concurrency or self._config.worker_count,
            "max_workers": self._config.worker_count,
            "capacity": self._worker_pool.capacity,
            "queues": [
                {
                    "queue": queue,
                    "closed_for_s": round(max(0.0, self._gate.closed_until_s(index) - now_s), 3),
                    "aside": self._aside(queue),
                    "paused": self._janitor.paused.get(queue, ""),
                }
                for index, queue in enumerate(self._config.queues)
            ],
            "redis_away": self._janitor.redis_is_away,
            "reloads": self._rolling_restart.reloads,
            "reload": self._rolling_restart.state.value,
            "last_reload_error": logs.cut(self._rolling_restart.last_error),
            "generation": self._worker_pool.generation,
            "template": _template(self._preloader.current or self._preloader.starting),
            "janitor_pid": self._janitor.pid,
            "handled": self._totals.handled + sum(snapshot.handled for snapshot in up),
            "failed": self._totals.failed + sum(snapshot.failed for snapshot in up),
            "deaths": self._totals.deaths,
            "slots": [self._slot(slot, snapshots[slot.index], usage.get(slot.pid, Usage()), now_s) for slot in slots],
        }

    def _slot(self, slot: Slot, snapshot: Snapshot, usage: Usage, now_s: float) -> dict[str, Any]:
        if slot.phase is not Phase.UP:
            return {
                "slot": slot.index, "pid": 0, "worker": "", "state": _WITHOUT_PROCESS[slot.phase], "message": "",
                "queue": "", "task": "", "note": "", "running_for_s": None, "memory_bytes": None, "cpu_s": None,
                "cpu_percent": None, "handled": 0, "failed": 0, "restarts": max(0, slot.restarts - 1),
                "last_death": slot.last_death,
                "last_death_ago_s": _death_ago_s(slot, now_s),
                "starts_in_s": round(max(0.0, slot.start_at_s - now_s), 3), "generation": slot.generation,
            }  # fmt: skip
        busy = snapshot.activity in (Activity.RUNNING, Activity.SETTLING)
        return {
            "slot": slot.index,
            "pid": slot.pid,
            "worker": slot.worker,
            "state": _state(slot, snapshot),
            "message": snapshot.running if busy else "",
            "task": snapshot.task if busy else "",
            "queue": self._config.queues[snapshot.queue_index] if busy else "",
            "note": slot.note,
            "running_for_s": _past_s(snapshot.started_s, now_s) if snapshot.activity is Activity.RUNNING else None,
            "memory_bytes": slot.memory_bytes or usage.memory_bytes,
            "cpu_s": usage.cpu_s,
            "cpu_percent": usage.cpu_percent,
            "handled": snapshot.handled,
            "failed": snapshot.failed,
            "restarts": max(0, slot.restarts - 1),
            "last_death": slot.last_death,
            "last_death_ago_s": _death_ago_s(slot, now_s),
            "starts_in_s": None,
            "generation": slot.generation,
        }


def _past_s(then_s: float, now_s: float) -> float:
    """Seconds since `then_s`; 0 for what has begun after this snapshot."""
    return round(max(0.0, now_s - then_s), 3)


def _death_ago_s(slot: Slot, now_s: float) -> float | None:
    return _past_s(slot.last_death_s, now_s) if slot.last_death else None


def _state(slot: Slot, snapshot: Snapshot) -> str:
    if slot.retiring:
        return "retiring"
    return _ACTIVITIES[snapshot.activity] if slot.working else "booting"


def _template(template: TemplateProcess | None) -> dict[str, Any]:
    return {"pid": 0, "state": "none"} if template is None else {"pid": template.pid, "state": template.state.value}
