"""The worker processes of a pool: started, heard, signalled and reaped, slot by slot."""

from __future__ import annotations

import logging
import random
import signal
from typing import Any, Callable, Iterable, Mapping, Sequence

from bizzmq import clock, ids
from bizzmq.logs import log
from bizzmq.workers import platform, spawn
from bizzmq.workers.boot import BOOTED, FAILED, GO, HELLO, BootFailure, failure_in
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.death import Exit
from bizzmq.workers.descendants import Descendants
from bizzmq.workers.forensics import StackFile
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.template_link import TemplateLink
from bizzmq.workers.worker import HOLDING, LEAVE, RECYCLE, Worker

_logger = logging.getLogger("bizzmq.supervisor")

NOT_NEEDED = "was not needed any more"
"""Why a worker is ended that has not booted: it had not begun to work, so that is no death."""

WRITING_S = 0.2
"""How long workers get to write their stacks: faulthandler needs no GIL, only a processor."""

MakeWorker = Callable[[str, int, Channel], Worker]


class Crew:
    """All slots. It decides nothing about the pool; the supervisor does.

    Attributes:
        target: how many workers there should be; at most `capacity`.
        template: forks the workers; None means that each is forked here and imports by itself.
        former: templates that fork no more, and keep what their workers may need until these are gone.
        generation: counts reloads.
        nudged: called when a worker says that it holds more than one message.
        descendants: what the workers' handlers have started.
    """

    def __init__(
        self,
        supervisor: str,
        config: WorkerConfig,
        scoreboard: Scoreboard,
        janitor: JanitorLink,
        make_worker: MakeWorker,
        private: Callable[[], Iterable[int]],
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._janitor = janitor
        self._make_worker = make_worker
        self._private = private
        self.target = config.min_concurrency or config.worker_count
        self.capacity = config.capacity
        self.template: TemplateLink | None = None
        self.former: list[TemplateLink] = []
        self.generation = 0
        self.nudged: Callable[[], None] = _nothing
        self.descendants = Descendants(lambda: {slot.pid for slot in self.up})
        self.stacks = [StackFile(f"bizzmq-stack-{index}") for index in range(2 * config.capacity)]
        self.slots = [Slot(index, scoreboard.slot(index)) for index in range(2 * config.capacity)]

    @property
    def up(self) -> list[Slot]:
        """The slots that have a process, or will have in a moment."""
        return [slot for slot in self.slots if slot.phase is Phase.UP]

    @property
    def counted(self) -> list[Slot]:
        """The slots of the workers that the pool is meant to have."""
        return [slot for slot in self.slots if slot.counts]

    def spare(self) -> Slot | None:
        """A slot for one more worker."""
        return next((slot for slot in self.slots if slot.phase is Phase.SPARE), None)

    def match_target(self) -> None:
        """Open or give up places until as many are counted as there should be. Idle workers go first."""
        counted = self.counted
        for _ in range(self.target - len(counted)):
            slot = self.spare()
            if slot is not None:
                slot.phase, slot.streak = Phase.EMPTY, 0
        surplus = len(counted) - self.target
        for slot in sorted(counted, key=lambda slot: (slot.phase is Phase.UP, slot.record.read().activity)):
            if surplus <= 0:
                break
            surplus -= 1
            if slot.phase is Phase.UP:
                self.retire(slot)
            else:
                slot.phase = Phase.SPARE

    def change_target(self, difference: int) -> None:
        """Have so many workers more, or fewer: at least one, at most as many as there is room for."""
        self.target = max(1, min(self.capacity, self.target + difference))
        log(_logger, logging.INFO, "number of workers changed", workers=self.target)

    def dismiss(self, template: TemplateLink) -> None:
        """End a template: at once, or when its workers are gone if they may need something of it."""
        if template.keeps and self._has_workers(template):
            self.former.append(template)
        else:
            template.end()

    def end_former(self) -> None:
        """End the former templates whose workers are gone."""
        for template in self.former[:]:
            if not self._has_workers(template):
                self.former.remove(template)
                template.end()

    def _has_workers(self, template: TemplateLink) -> bool:
        return template.pid > 0 and any(slot.template_pid == template.pid for slot in self.up)

    def start_due(self) -> None:
        """Start a worker in each empty slot whose time has come."""
        now_s = clock.monotonic()
        for slot in self.slots:
            if slot.phase is Phase.EMPTY and now_s >= slot.start_at_s:
                self.start(slot, self.template, self.generation)

    def start(self, slot: Slot, template: TemplateLink | None, generation: int) -> bool:
        """Have a worker forked for a slot, and registered meanwhile; False if that cannot be done now."""
        try:
            own, other = Channel.pair()
        except OSError as error:
            self._could_not_start(slot, error)
            return False
        worker_id = ids.worker_id(self._supervisor, slot.index)
        slot.record.reset()
        self.stacks[slot.index].clear()
        now_s = clock.monotonic()
        pid = 0
        try:
            if template is None:
                worker = self._make_worker(worker_id, slot.index, other)
                pid = spawn.fork(worker.main, close=[*self._private(), own.fileno()])
            elif not template.spawn(worker_id, slot.index, other.fileno()):
                own.close()
                return False
        except OSError as error:
            own.close()
            self._could_not_start(slot, error)
            return False
        finally:
            other.close()
        slot.occupied(worker_id, pid, own, now_s, generation)
        slot.template_pid = template.pid if template is not None else 0
        # Up to a tenth less, so that workers that grow alike do not all leave at once.
        slot.memory_limit_mb = self._config.max_memory_mb * (1.0 - random.random() / 10)
        self._janitor.register(worker_id)
        if pid:
            self._known(slot, pid)
        return True

    def _could_not_start(self, slot: Slot, error: OSError) -> None:
        wait_s = slot.punish(self._config, clock.monotonic())
        log(_logger, logging.ERROR, "a worker could not be started", slot=slot.index, error=str(error),
            wait_s=round(wait_s, 3))  # fmt: skip

    def spawned(self, message: Mapping[str, Any]) -> None:
        """The template has forked a worker, or could not."""
        for slot in self.up:
            if slot.worker == message["worker"]:
                if message["pid"]:
                    self._known(slot, message["pid"])
                else:
                    log(_logger, logging.ERROR, "a worker could not be started", slot=slot.index,
                        error=message["error"])  # fmt: skip

    def _known(self, slot: Slot, pid: int) -> None:
        if slot.pid == pid and slot.worker in self._janitor.adopted:
            return
        slot.pid = pid
        self._janitor.adopt(slot.worker, pid, slot.index)
        log(_logger, logging.INFO, "worker started", slot=slot.index, pid=pid, worker=slot.worker)

    def hear(self, slot: Slot) -> tuple[BootFailure | None, bool]:
        """Read what a worker says: why it cannot boot, if it cannot, and whether it wants to be recycled."""
        failure, wants_recycling = None, False
        if slot.channel is None:
            return failure, wants_recycling
        for message in slot.channel.receive():
            if message["op"] == HELLO:
                self._known(slot, message["pid"])
            elif message["op"] == BOOTED:
                slot.booted = True
                self._let_go(slot)
            elif message["op"] == FAILED:
                failure = failure_in(message)
            elif message["op"] == RECYCLE:
                wants_recycling = True
            elif message["op"] == HOLDING:
                self.nudged()
        return failure, wants_recycling

    def registered(self, worker_id: str, without: Sequence[str]) -> None:
        """The janitor has registered a worker, on all queues but some that something is wrong with."""
        for slot in self.up:
            if slot.worker == worker_id:
                slot.registered, slot.without = True, tuple(without)
                self._let_go(slot)

    def _let_go(self, slot: Slot) -> None:
        if slot.registered and slot.booted and not slot.working and slot.channel is not None:
            slot.working = True
            slot.channel.send(op=GO, without=slot.without)
            log(_logger, logging.INFO, "worker ready", slot=slot.index, pid=slot.pid, worker=slot.worker,
                boot_s=round(clock.monotonic() - slot.started_s, 3))  # fmt: skip

    def reap(self, slot: Slot) -> Exit | None:
        """How the slot's process ended; None while it lives, or is still to come."""
        if slot.pid:
            ended = self.descendants.reap(slot.pid, slot.worker)
            return None if ended is None else Exit.of(*ended)
        if slot.channel is not None and slot.channel.closed:
            return Exit.unknown()  # the template is gone, and never got to forking it
        return None

    def retire(self, slot: Slot) -> None:
        """Tell a worker to finish and leave, since another one has its place or it is not needed."""
        slot.retire(clock.monotonic())
        self.leave(slot)

    def leave(self, slot: Slot) -> None:
        """Let a worker finish what it runs. One that has not booted yet holds nothing, and just goes."""
        if slot.booted and slot.channel is not None:
            slot.record.recall()
            slot.channel.send(op=LEAVE)  # the signal may go to a handler that is not the worker's
            self.signal(slot, signal.SIGTERM)
        else:
            self.kill(slot, NOT_NEEDED, blame=False)

    def ask_for_stack(self, slot: Slot) -> None:
        """Have a worker write its Python stacks; they are there after `WRITING_S`, if it is not frozen."""
        self.stacks[slot.index].clear()
        self.signal(slot, signal.SIGUSR1)

    def signal(self, slot: Slot, number: int) -> None:
        """Signal a worker alone, not what its handler has started. A death by it is nobody's fault."""
        slot.sent.add(number)
        platform.signal_process(slot.pid, number)

    def kill(self, slot: Slot, reason: str, *, blame: bool, failure: str = "") -> None:
        """End a worker and all that its handler has started. It is settled when it is reaped."""
        if not slot.ended_by_us:
            slot.ended_by_us, slot.blame, slot.failure = reason, blame, failure
        if slot.pid:
            self.descendants.end(slot.pid, slot.worker)
        elif slot.channel is not None:
            slot.channel.close()  # should it still be forked, it finds its channel closed and leaves


def _nothing() -> None:
    return
