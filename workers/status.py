"""What the pool is doing, as plain data for whoever asks from outside."""

from __future__ import annotations

import os
from typing import Any

import bizzmq
from bizzmq import clock, logs
from bizzmq.keys import whole_of
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.crew import Crew
from bizzmq.workers.drain import Drain, Urgency
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.meter import Meter, Usage
from bizzmq.workers.nursery import Nursery
from bizzmq.workers.renewal import Renewal
from bizzmq.workers.scoreboard import Activity, PoolGate, Snapshot
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.template_link import TemplateLink

_WITHOUT_PROCESS = {Phase.EMPTY: "waiting", Phase.FAILED: "failed", Phase.DONE: "done"}
_ACTIVITIES = {
    Activity.BOOTING: "booting", Activity.IDLE: "idle", Activity.RUNNING: "running",
    Activity.SETTLING: "settling", Activity.LEFT: "retiring",
}  # fmt: skip


class PoolStatus:
    """Looks at everything, changes nothing. Costs nothing until it is asked."""

    def __init__(
        self,
        supervisor: str,
        config: WorkerConfig,
        crew: Crew,
        nursery: Nursery,
        renewal: Renewal,
        janitor: JanitorLink,
        drain: Drain,
        gate: PoolGate,
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._crew = crew
        self._nursery = nursery
        self._renewal = renewal
        self._janitor = janitor
        self._drain = drain
        self._gate = gate
        self._meter = Meter()
        self._started_s = clock.monotonic()
        self._handled = self._failed = self._deaths = 0

    def buried(self, record: Snapshot, *, died: bool) -> None:
        """A worker is gone: the pool's totals keep what its record said."""
        self._handled += record.handled
        self._failed += record.failed
        self._deaths += died

    @property
    def reloads(self) -> int:
        """How many reloads have begun."""
        return self._renewal.reloads

    @property
    def reloading(self) -> bool:
        return self._renewal.busy

    @property
    def working(self) -> int:
        """How many workers take messages, if there are any."""
        return sum(slot.working and slot.counts for slot in self._crew.up)

    def state(self) -> str:
        """`working`, or what the pool does instead: stopping, draining, paused, reloading."""
        if self._drain.urgency is Urgency.STOPPING:
            return "stopping"
        if self._drain.begun:
            return "draining"
        if self._gate.paused:
            return "paused"
        return "reloading" if self.reloading else "working"

    def check(self) -> str:
        """The answer to `check`: `ok`, or a state in which not everything is as usual."""
        state = self.state()
        return "ok" if state == "working" else state

    def why_not_ready(self) -> str:
        """Why the pool cannot handle messages now, or ""."""
        if self._drain.begun:
            return self.state()
        if self._gate.paused:
            return "paused"
        if not self.working:
            return "no worker works"
        if self._janitor.redis_is_away:
            return "Redis is away"
        return "every queue is set aside" if all(map(self._aside, self._config.queues)) else ""

    def _aside(self, queue: str) -> str:
        """What is wrong with a queue, or one of its shards, that is set aside; "" if it is worked on."""
        return next((text for name, text in self._janitor.aside.items() if whole_of(name) == queue), "")

    def headline(self) -> str:
        """One line that changes only when something has."""
        parts = [f"{self.state()}, {self.working} of {self._crew.target} workers"]
        if self._janitor.redis_is_away:
            parts.append("Redis is away")
        aside = [queue for queue in self._config.queues if self._aside(queue)]
        if aside:
            parts.append(f"set aside: {', '.join(aside)}")
        if self._renewal.last_error:
            parts.append(f"the last reload failed: {self._renewal.last_error[:200]}")
        return ", ".join(parts)

    def snapshot(self) -> dict[str, Any]:
        """Everything, ready for JSON. Times in seconds, memory in bytes."""
        now_s = clock.monotonic()
        slots = [slot for slot in self._crew.slots if slot.phase is not Phase.SPARE]
        usage = self._meter.measure({slot.pid: slot.started_s for slot in slots if slot.pid})
        records = {slot.index: slot.record.read() for slot in slots}
        up = [records[slot.index] for slot in slots if slot.phase is Phase.UP]
        return {
            "supervisor": self._supervisor,
            "pid": os.getpid(),
            "version": bizzmq.__version__,
            "uptime_s": round(now_s - self._started_s, 3),
            "state": self.state(),
            "not_ready": self.why_not_ready(),
            "working": self.working,
            "target_workers": self._crew.target,
            "min_workers": self._config.min_concurrency or self._config.worker_count,
            "max_workers": self._config.worker_count,
            "capacity": self._crew.capacity,
            "queues": [
                {
                    "queue": queue,
                    "closed_for_s": round(max(0.0, self._gate.closed_until_s(index) - now_s), 3),
                    "aside": self._aside(queue),
                }
                for index, queue in enumerate(self._config.queues)
            ],
            "redis_away": self._janitor.redis_is_away,
            "reloads": self._renewal.reloads,
            "reload": self._renewal.state.value,
            "last_reload_error": logs.cut(self._renewal.last_error),
            "generation": self._crew.generation,
            "template": _template(self._crew.template or self._nursery.template),
            "janitor_pid": self._janitor.pid,
            "handled": self._handled + sum(record.handled for record in up),
            "failed": self._failed + sum(record.failed for record in up),
            "deaths": self._deaths,
            "slots": [self._slot(slot, records[slot.index], usage.get(slot.pid, Usage()), now_s) for slot in slots],
        }

    def _slot(self, slot: Slot, record: Snapshot, usage: Usage, now_s: float) -> dict[str, Any]:
        if slot.phase is not Phase.UP:
            return {
                "slot": slot.index, "pid": 0, "worker": "", "state": _WITHOUT_PROCESS[slot.phase], "message": "",
                "queue": "", "note": "", "running_for_s": None, "memory_bytes": None, "cpu_s": None,
                "cpu_percent": None, "handled": 0, "failed": 0, "restarts": max(0, slot.restarts - 1),
                "last_death": slot.last_death,
                "last_death_ago_s": _death_ago_s(slot, now_s),
                "starts_in_s": round(max(0.0, slot.start_at_s - now_s), 3), "generation": slot.generation,
            }  # fmt: skip
        busy = record.activity in (Activity.RUNNING, Activity.SETTLING)
        return {
            "slot": slot.index,
            "pid": slot.pid,
            "worker": slot.worker,
            "state": _state(slot, record),
            "message": record.running if busy else "",
            "queue": self._config.queues[record.queue_index] if busy else "",
            "note": slot.note,
            "running_for_s": _past_s(record.started_s, now_s) if record.activity is Activity.RUNNING else None,
            "memory_bytes": slot.memory_bytes or usage.memory_bytes,
            "cpu_s": usage.cpu_s,
            "cpu_percent": usage.cpu_percent,
            "handled": record.handled,
            "failed": record.failed,
            "restarts": max(0, slot.restarts - 1),
            "last_death": slot.last_death,
            "last_death_ago_s": _death_ago_s(slot, now_s),
            "starts_in_s": None,
            "generation": slot.generation,
        }


def _past_s(then_s: float, now_s: float) -> float:
    """How long ago it was; what began after the look had begun is not in the future."""
    return round(max(0.0, now_s - then_s), 3)


def _death_ago_s(slot: Slot, now_s: float) -> float | None:
    return _past_s(slot.last_death_s, now_s) if slot.last_death else None


def _state(slot: Slot, record: Snapshot) -> str:
    if slot.retiring:
        return "retiring"
    return _ACTIVITIES[record.activity] if slot.working else "booting"


def _template(link: TemplateLink | None) -> dict[str, Any]:
    return {"pid": 0, "state": "none"} if link is None else {"pid": link.pid, "state": link.state.value}
