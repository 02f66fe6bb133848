"""The worker processes of a pool: started, signalled and reaped, slot by slot."""

from __future__ import annotations

import logging
import math
import random
import signal
from typing import Callable, Iterable, NamedTuple, Sequence

from bizzmq.protocol import ids
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.crash_reports import CrashReports
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.template_messages import Spawned
from bizzmq.workers.ipc.worker_exit import ExitStatus
from bizzmq.workers.ipc.worker_messages import FROM_WORKER, Booted, BootFailure, Go, Hello, HoldsSeveral, Leave, Recycle
from bizzmq.workers.process import syscalls
from bizzmq.workers.process.child import fork_with_channel
from bizzmq.workers.process.descendants import Descendants
from bizzmq.workers.process.stack_file import StackFile
from bizzmq.workers.supervisor.children.janitor_process import JanitorProcess
from bizzmq.workers.supervisor.children.template_process import TemplateProcess
from bizzmq.workers.supervisor.first_import import FirstImport
from bizzmq.workers.supervisor.slot import Phase, Slot
from bizzmq.workers.worker.worker import Worker

_logger = logging.getLogger("bizzmq.supervisor")

NOT_NEEDED = "was not needed any more"
"""Why a worker is ended that has not booted. It had not begun to work, so this does not count as a death."""

STACK_WAIT_S = 0.2
"""How long workers get to write their stacks: faulthandler needs no GIL, only a processor."""

MakeWorker = Callable[[str, int, Channel], Worker]


class WorkerNews(NamedTuple):
    """What a worker has sent since it was read last.

    Attributes:
        failure: why it cannot boot, or None.
        wants_recycling: it asks for its replacement.
        holds_several: it holds more messages than it runs, and the prefetch releaser does not check.
    """

    failure: BootFailure | None = None
    wants_recycling: bool = False
    holds_several: bool = False


class WorkerPool:
    """All slots. It decides nothing about the pool; the manager does.

    Attributes:
        target: how many workers there should be; at most `capacity`.
        first_import: tells when workers that import by themselves may begin.
        generation: counts reloads.
        descendants: what the workers' handlers have started.
        described: tells the janitor what the app of new workers declares.
        crash_reports: the workers that have died, for the next one that starts to work.
    """

    def __init__(
        self,
        supervisor: str,
        config: WorkerConfig,
        scoreboard: Scoreboard,
        janitor: JanitorProcess,
        make_worker: MakeWorker,
        close_in_child: Callable[[], Iterable[int]],
    ) -> None:
        self._supervisor = supervisor
        self._config = config
        self._janitor = janitor
        self.described = janitor.describe
        self._make_worker = make_worker
        self._close_in_child = close_in_child
        self.target = config.min_concurrency or config.worker_count
        self.capacity = config.capacity
        self.first_import = FirstImport(is_over=not isinstance(config.handler, str))
        self.generation = 0
        self.crash_reports = CrashReports()
        self.descendants = Descendants(lambda: {slot.pid for slot in self.up})
        self.stacks = [StackFile(f"bizzmq-stack-{index}") for index in range(2 * config.capacity)]
        self.slots = [Slot(index, scoreboard.slot(index)) for index in range(2 * config.capacity)]

    @property
    def up(self) -> list[Slot]:
        """The slots that have a process, or will have one in a moment."""
        return [slot for slot in self.slots if slot.phase is Phase.UP]

    @property
    def counted(self) -> list[Slot]:
        """The slots that count towards `target`."""
        return [slot for slot in self.slots if slot.is_counted]

    def free(self) -> Slot | None:
        """A slot for one more worker."""
        return next((slot for slot in self.slots if slot.phase is Phase.FREE), None)

    def match_target(self) -> None:
        """Open or close slots until `target` of them are counted. Empty slots close first, then idle workers'."""
        counted = self.counted
        for _ in range(self.target - len(counted)):
            slot = self.free()
            if slot is not None:
                slot.phase, slot.deaths_in_a_row = Phase.EMPTY, 0
        surplus = len(counted) - self.target
        for slot in sorted(counted, key=lambda slot: (slot.phase is Phase.UP, slot.activity.read().activity)):
            if surplus <= 0:
                break
            surplus -= 1
            if slot.phase is Phase.UP:
                self.retire(slot)
            else:
                slot.phase = Phase.FREE

    def change_target(self, difference: int) -> None:
        """Grow or shrink the pool by a number of workers: to one at least, to `capacity` at most."""
        self.target = max(1, min(self.capacity, self.target + difference))
        log(_logger, logging.INFO, "number of workers changed", workers=self.target)

    def start_due(self, template: TemplateProcess | None) -> None:
        """Start a worker in each empty slot whose time has come."""
        now_s = clock.monotonic()
        for slot in self.slots:
            if slot.phase is Phase.EMPTY and now_s >= slot.start_at_s:
                self.start(slot, template, self.generation)

    def next_start_s(self, template: TemplateProcess | None) -> float:
        """When the next empty slot is due. Monotonic seconds."""
        if template is None and not self.first_import.may_begin():
            return math.inf
        return min((slot.start_at_s for slot in self.slots if slot.phase is Phase.EMPTY), default=math.inf)

    def start(self, slot: Slot, template: TemplateProcess | None, generation: int) -> bool:
        """Have a worker forked for a slot, and registered meanwhile; False if that is not possible now.

        Args:
            template: forks the worker; None to fork one here that imports by itself.
        """
        if template is None and not self.first_import.may_begin():
            return False
        worker_id = ids.worker_id(self._supervisor, slot.index)
        slot.activity.reset()
        self.stacks[slot.index].clear()
        now_s = clock.monotonic()
        try:
            forked = self._fork(worker_id, slot.index) if template is None else _spawn(template, worker_id, slot.index)
        except OSError as error:
            wait_s = slot.back_off(self._config, clock.monotonic())
            log(_logger, logging.ERROR, "a worker could not be started", slot=slot.index, error=str(error),
                wait_s=round(wait_s, 3))  # fmt: skip
            return False
        if forked is None:
            return False
        pid, channel = forked
        slot.assign(worker_id, pid, channel, now_s, generation)
        slot.template_pid = template.pid if template is not None else 0
        if template is None:
            self.first_import.begin(slot)
        # Up to a tenth less, so that workers that grow alike are not all replaced at once.
        slot.memory_limit_mb = self._config.max_memory_mb * (1.0 - random.random() / 10)
        self._janitor.register(worker_id)
        if pid:
            self._note_pid(slot, pid)
        return True

    def _fork(self, worker_id: str, slot: int) -> tuple[int, Channel]:
        def main(channel: Channel) -> int:
            return self._make_worker(worker_id, slot, channel).main()

        return fork_with_channel(main, self._close_in_child())

    def spawned(self, message: Spawned) -> None:
        """Note that a template has forked a worker, or could not."""
        for slot in self.up:
            if slot.worker == message.worker:
                if message.pid:
                    self._note_pid(slot, message.pid)
                else:
                    log(_logger, logging.ERROR, "a worker could not be started", slot=slot.index, error=message.error)

    def _note_pid(self, slot: Slot, pid: int) -> None:
        if slot.pid == pid and slot.worker in self._janitor.adopted:
            return
        slot.pid = pid
        self._janitor.adopt(slot.worker, pid, slot.index)
        log(_logger, logging.INFO, "worker started", slot=slot.index, pid=pid, worker=slot.worker)

    def read(self, slot: Slot) -> WorkerNews:
        """Read what a worker has sent."""
        news = WorkerNews()
        for message in slot.channel.receive(FROM_WORKER) if slot.channel is not None else []:
            if isinstance(message, Hello):
                self._note_pid(slot, message.pid)
            elif isinstance(message, Booted):
                slot.booted = self.first_import.is_over = True
                self.described(message.app)
                self._send_go(slot)
            elif isinstance(message, BootFailure):
                news = news._replace(failure=message)
            elif isinstance(message, Recycle):
                news = news._replace(wants_recycling=True)
                if message.spent:
                    log(_logger, logging.INFO, "a limit or a cancel has struck in a worker, another takes its place",
                        slot=slot.index, worker=slot.worker)  # fmt: skip
            elif isinstance(message, HoldsSeveral):
                news = news._replace(holds_several=True)
        return news

    def registered(self, worker_id: str, without: Sequence[str]) -> None:
        """Note that a worker is registered on all queues except `without`."""
        for slot in self.up:
            if slot.worker == worker_id:
                slot.registered, slot.without = True, tuple(without)
                self._send_go(slot)

    def _send_go(self, slot: Slot) -> None:
        if slot.registered and slot.booted and not slot.working and slot.channel is not None:
            slot.working = True
            slot.channel.send(Go(slot.without, self.crash_reports.take()))
            log(_logger, logging.INFO, "worker ready", slot=slot.index, pid=slot.pid, worker=slot.worker,
                boot_s=round(clock.monotonic() - slot.started_s, 3))  # fmt: skip

    def reap(self, slot: Slot) -> ExitStatus | None:
        """How the slot's process ended; None while it lives, or is not forked yet."""
        if slot.pid:
            ended = self.descendants.reap(slot.pid, slot.worker)
            return None if ended is None else ExitStatus.of(*ended)
        if slot.channel is not None and slot.channel.closed:
            return ExitStatus.unknown()  # the template is gone, and has not forked it
        return None

    def retire(self, slot: Slot) -> None:
        """Drain a worker that is not counted any more: its replacement works, or the pool has shrunk."""
        slot.retire(clock.monotonic())
        self.drain(slot)

    def drain(self, slot: Slot) -> None:
        """Let a worker finish what it runs. One that has not booted yet holds nothing, and is killed."""
        if slot.booted and slot.channel is not None:
            slot.activity.request_release()
            slot.channel.send(Leave())  # a handler may have taken over the signal
            self.signal(slot, signal.SIGTERM)
        else:
            self.kill(slot, NOT_NEEDED, blame=False)

    def request_stack(self, slot: Slot) -> None:
        """Have a worker write its Python stacks. They are there after `STACK_WAIT_S`, if it is not frozen."""
        self.stacks[slot.index].clear()
        self.signal(slot, signal.SIGUSR1)

    def signal(self, slot: Slot, number: int) -> None:
        """Signal a worker, without what its handler has started. If it dies of that, its message is not blamed."""
        slot.sent.add(number)
        syscalls.signal_process(slot.pid, number)

    def kill(self, slot: Slot, reason: str, *, blame: bool, failure: str = "") -> None:
        """Kill a worker and all that its handler has started. Its messages are settled when it is reaped.

        Args:
            blame: whether the message that it runs is the cause.
            failure: if that message has passed a limit, the name of the limit's error.
        """
        if not slot.ended_by_us:
            slot.ended_by_us, slot.blame, slot.failure = reason, blame, failure
        if slot.pid:
            self.descendants.end(slot.pid, slot.worker)
        elif slot.channel is not None:
            slot.channel.close()  # if it is forked after this, it finds its channel closed and exits


def _spawn(template: TemplateProcess, worker_id: str, slot: int) -> tuple[int, Channel] | None:
    """Pid and channel of a worker that a template forks; the pid is 0 until the template reports it.

    None if the template cannot be asked now.
    """
    own, other = Channel.pair()
    try:
        if template.spawn(worker_id, slot, other.fileno()):
            return 0, own
        own.close()
        return None
    finally:
        other.close()
