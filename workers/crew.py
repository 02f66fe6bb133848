"""The worker processes of a pool: started, heard, signalled and buried, slot by slot."""

from __future__ import annotations

import logging
import signal
from typing import Callable, Iterable

from bizzmq import clock, ids
from bizzmq.logs import log
from bizzmq.workers import platform, spawn
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.death import Exit
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.scoreboard import Activity, Scoreboard
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.worker import BOOTED, FAILED, GO, Worker

_logger = logging.getLogger("bizzmq.supervisor")
_OVERTIME_GRACE_S = 0.5


class Crew:
    """All slots. It decides nothing about the pool; the supervisor does."""

    def __init__(
        self,
        supervisor: str,
        url: str,
        config: WorkerConfig,
        scoreboard: Scoreboard,
        janitor: JanitorLink,
        private: Callable[[], Iterable[int]],
    ) -> None:
        self._supervisor = supervisor
        self._url = url
        self._config = config
        self._janitor = janitor
        self._private = private
        self.slots = [Slot(index, scoreboard.slot(index)) for index in range(config.worker_count)]

    @property
    def up(self) -> list[Slot]:
        """The slots that have a process."""
        return [slot for slot in self.slots if slot.phase is Phase.UP]

    def start(self, slot: Slot) -> None:
        """Fork a worker for an empty slot and have it registered meanwhile."""
        worker_id = ids.worker_id(self._supervisor, slot.index)
        own, other = Channel.pair()
        slot.record.reset()
        worker = Worker(worker_id, self._url, self._config, slot.record, other)
        now_s = clock.monotonic()
        try:
            pid = spawn.fork(worker.main, close=[*self._private(), own.fileno()])
        except OSError as error:
            own.close()
            wait_s = slot.punish(self._config, now_s)
            log(_logger, logging.ERROR, "a worker could not be started", slot=slot.index, error=str(error),
                wait_s=round(wait_s, 3))  # fmt: skip
            return
        finally:
            other.close()
        slot.occupied(worker_id, pid, own, now_s)
        self._janitor.register(worker_id)
        self._janitor.adopt(worker_id, pid, slot.index)
        log(_logger, logging.INFO, "worker started", slot=slot.index, pid=pid, worker=worker_id)

    def hear(self, slot: Slot) -> tuple[str, str] | None:
        """Read what a worker says; returns the error and traceback if it says that it cannot boot."""
        failure = None
        if slot.channel is None:
            return None
        for message in slot.channel.receive():
            if message["op"] == BOOTED:
                slot.booted = True
                self._let_go(slot)
            elif message["op"] == FAILED:
                failure = (message["error"], message["traceback"])
        return failure

    def registered(self, worker_id: str) -> None:
        """The janitor has registered a worker."""
        for slot in self.up:
            if slot.worker == worker_id:
                slot.registered = True
                self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        if slot.registered and slot.booted and slot.channel is not None:
            slot.channel.send(op=GO)
            log(_logger, logging.INFO, "worker ready", slot=slot.index, pid=slot.pid, worker=slot.worker,
                boot_s=round(clock.monotonic() - slot.started_s, 3))  # fmt: skip

    def reap(self, slot: Slot) -> Exit | None:
        """How the slot's process ended; None while it lives."""
        ended = platform.reap(slot.pid)
        return None if ended is None else Exit.of(*ended)

    def drain(self) -> None:
        """Let every worker finish what it runs. One that has not booted yet holds nothing, and just goes."""
        for slot in self.up:
            if slot.booted:
                platform.kill_group_leader(slot.pid, signal.SIGTERM)
            else:
                self.kill(slot, "was not needed any more", blame=False)

    def kill(self, slot: Slot, reason: str, *, blame: bool) -> None:
        """End a worker and all that its handler has started. It is settled when it is reaped."""
        if not slot.ended_by_us:
            slot.ended_by_us, slot.blame = reason, blame
        platform.kill_group(slot.pid)

    def kill_overdue(self) -> None:
        """End workers whose message runs past its time limit."""
        now_s = clock.monotonic()
        for slot in self.up:
            record = slot.record.read()
            if record.activity is not Activity.RUNNING or not record.deadline_s or slot.ended_by_us:
                continue
            if now_s > record.deadline_s + _OVERTIME_GRACE_S:
                limit_s = round(record.deadline_s - record.started_s, 3)
                self.kill(slot, f"was killed because the message ran past its limit of {limit_s} s", blame=True)
