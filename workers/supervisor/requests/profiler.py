"""Samples what workers execute, by faulthandler: also C code, and without a line of it in the worker."""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, NamedTuple, Sequence, Tuple

from bizzmq.protocol.profile import MOST_STACKS, OTHERS, Frame, Profile, Stack, shortened
from bizzmq.utils import clock
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.process.stack_file import handler_frames
from bizzmq.workers.supervisor.requests.stacks import StackDump
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import WorkerPool

INTERVAL_S = 0.05
"""Between two samples of a worker. A stack of 25 frames costs it 0.16 ms, a third of a percent."""
_PER_BYTE_S = 2e-5
"""faulthandler writes a stack at 170 ns a byte. The longer it is, the later is the next: 1 % of the time at most."""
_MOST_FRAMES = 100
_MOST_SESSIONS = 8


class Wanted(NamedTuple):
    """Which running messages are sampled. An empty text selects all.

    Attributes:
        message: the id of one message.
        task: the name of their task. The scoreboard has its last 32 bytes.
    """

    message: str = ""
    task: str = ""

    def has(self, snapshot: Snapshot) -> bool:
        """Whether this is running, and selected."""
        if snapshot.activity is not Activity.RUNNING or self.message not in ("", snapshot.running):
            return False
        return not self.task or (bool(snapshot.task) and self.task.endswith(snapshot.task))


class _Session:
    def __init__(self, wanted: Wanted, until_s: float, deliver: Callable[[Profile], object]) -> None:
        self.wanted, self.until_s, self.deliver = wanted, until_s, deliver
        self.began_s, self.rounds = clock.monotonic(), 0
        self.samples: Counter[Stack] = Counter()
        self.missed = 0
        self._worker = ""

    def has_ended(self, running: Sequence[Tuple[str, Snapshot]]) -> bool:
        """Whether the one message that it samples has ended, or its worker: what runs it next is another delivery."""
        if not self.wanted.message:
            return False
        found = [worker for worker, snapshot in running if self.wanted.has(snapshot)]
        self._worker = self._worker or "".join(found[:1])
        return not found or found[0] != self._worker

    def interval_s(self, now_s: float) -> float:
        """The mean time between two rounds."""
        return round((now_s - self.began_s) / max(1, self.rounds - 1), 4)

    def add(self, stack: Stack) -> None:
        is_room = stack in self.samples or len(self.samples) < 2 * MOST_STACKS
        self.samples[stack if is_room else OTHERS] += 1


_Run = Tuple[str, str, int]


class Profiler:
    """Takes samples while somebody wants some. Each round reads what the round before has asked for.

    Args:
        is_taken: whether a slot's stack is needed by somebody else: its worker is about to be killed.
    """

    def __init__(self, worker_pool: WorkerPool, stacks: StackDump, is_taken: Callable[[Slot], bool]) -> None:
        self._worker_pool, self._stacks, self._is_taken = worker_pool, stacks, is_taken
        self._sessions: list[_Session] = []
        self._signalled: Dict[int, _Run] = {}
        self._longest_bytes = 0
        self.due_s = float("inf")

    def start(self, wanted: Wanted, for_s: float, deliver: Callable[[Profile], object]) -> bool:
        """Sample for some seconds; False if too many do already.

        Args:
            deliver: called with the profile at the end; for one message, when it has ended.
        """
        if len(self._sessions) >= _MOST_SESSIONS:
            return False
        now_s = clock.monotonic()
        self._sessions.append(_Session(wanted, now_s + for_s, deliver))
        self.due_s = min(self.due_s, now_s)
        return True

    def tick(self) -> None:
        """Run a round, when it is time."""
        now_s = clock.monotonic()
        if now_s < self.due_s:
            return
        self._longest_bytes = 0
        up = {slot.index: slot for slot in self._worker_pool.up}
        for index, run in self._signalled.items():
            if index in up:
                self._collect(up[index], run)
        self._signalled.clear()
        self._end_sessions(now_s)
        for slot in up.values() if self._sessions else ():
            self._signal(slot)
        wait_s = max(INTERVAL_S, self._longest_bytes * _PER_BYTE_S)
        self.due_s = now_s + wait_s if self._sessions else float("inf")

    def forget(self, slot: Slot) -> None:
        """Drop a sample of a worker that has died, unless it shows the message with which it died."""
        run = self._signalled.pop(slot.index, None)
        if run is not None and run != _run_of(slot, slot.activity.read()):
            self._worker_pool.stacks[slot.index].keep_fatal()

    def _end_sessions(self, now_s: float) -> None:
        running = [(slot.worker, slot.activity.read()) for slot in self._worker_pool.up]
        for session in list(self._sessions):
            session.rounds += 1
            if now_s >= session.until_s or session.has_ended(running):
                self._sessions.remove(session)
                session.deliver(Profile(session.samples, session.interval_s(now_s), session.missed))

    def _signal(self, slot: Slot) -> None:
        snapshot = slot.activity.read()
        if not any(session.wanted.has(snapshot) for session in self._sessions) or not slot.pid or slot.ended_by_us:
            return
        if self._is_taken(slot) or self._stacks.is_reading(slot):
            return
        self._worker_pool.request_stack(slot)
        self._signalled[slot.index] = _run_of(slot, snapshot)

    def _collect(self, slot: Slot, run: _Run) -> None:
        if self._is_taken(slot) or self._stacks.is_reading(slot):
            return
        file, snapshot = self._worker_pool.stacks[slot.index], slot.activity.read()
        text = file.text()
        if text:
            file.clear()
        if run != _run_of(slot, snapshot) or snapshot.activity is not Activity.RUNNING:
            return
        self._longest_bytes = max(self._longest_bytes, len(text))
        stack = stack_of(text)
        for session in self._sessions:
            if session.wanted.has(snapshot):
                if stack:
                    session.add(stack)
                else:
                    session.missed += 1


def stack_of(text: str) -> Stack:
    """The stack of the handler in what faulthandler has written; empty if it is not there, or not complete."""
    frames = handler_frames(text)[:_MOST_FRAMES]
    return tuple(Frame(shortened(name), shortened(file), line) for file, line, name in reversed(frames))


def _run_of(slot: Slot, snapshot: Snapshot) -> _Run:
    return slot.worker, snapshot.running, snapshot.delivery
