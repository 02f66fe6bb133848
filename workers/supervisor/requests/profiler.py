"""Samples what workers execute, by faulthandler: also C code, and without a line of it in the worker."""

from __future__ import annotations

import signal
from typing import Callable, Dict, Tuple

from bizzmq.protocol.profile import Frame, Profile, Stack, shortened
from bizzmq.utils import clock
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot
from bizzmq.workers.process.caught_signals import catches
from bizzmq.workers.process.stack_file import handler_frames
from bizzmq.workers.supervisor.requests.sampling import INTERVAL_S, Session, SlowSession, Wanted
from bizzmq.workers.supervisor.requests.stacks import StackDump
from bizzmq.workers.supervisor.slot import Slot
from bizzmq.workers.supervisor.worker_pool import WorkerPool

_PER_BYTE_S = 2e-5
"""faulthandler writes a stack at 170 ns a byte. The longer it is, the later is the next: 1 % of the time at most."""
_MOST_FRAMES = 100
_MOST_SESSIONS, _MOST_SLOW = 8, 8
_LOOK_S = 1.0
"""How often the end of what is sampled is looked for, if samples are rarer."""
_Run = Tuple[str, str, int]


class Profiler:
    """Takes samples while somebody wants some. Each round reads what the round before has asked for.

    Args:
        is_taken: whether a slot's stack is needed by somebody else: its worker is about to be killed.
    """

    def __init__(self, worker_pool: WorkerPool, stacks: StackDump, is_taken: Callable[[Slot], bool]) -> None:
        self._worker_pool, self._stacks, self._is_taken = worker_pool, stacks, is_taken
        self._sessions: list[Session] = []
        self._signalled: Dict[int, _Run] = {}
        self._longest_bytes = 0
        self.due_s = float("inf")

    def start(self, wanted: Wanted, for_s: float, deliver: Callable[[Profile], object]) -> bool:
        """Sample for some seconds; False if too many do already.

        Args:
            deliver: called with the profile at the end; for one message, when it has ended.
        """
        if len(self._sessions) - len(self._slow()) >= _MOST_SESSIONS:
            return False
        self._add(Session(wanted, clock.monotonic() + for_s, deliver))
        return True

    def follow(self, session: SlowSession) -> bool:
        """Sample a slow message until it ends; False if that is done already, or too many are followed."""
        followed = self._slow()
        if len(followed) >= _MOST_SLOW or any(one.run == session.run for one in followed):
            return False
        self._add(session)
        return True

    def _slow(self) -> list[SlowSession]:
        return [one for one in self._sessions if isinstance(one, SlowSession)]

    def _add(self, session: Session) -> None:
        self._sessions.append(session)
        self.due_s = min(self.due_s, clock.monotonic())

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
            self._signal(slot, now_s)
        for session in self._sessions:
            session.took_sample(now_s)
        self.due_s = max(self._next_s(now_s), now_s + max(INTERVAL_S, self._longest_bytes * _PER_BYTE_S))

    def _next_s(self, now_s: float) -> float:
        """When there is something to do again: to read what was asked for, to take a sample, to see an end."""
        if self._signalled:
            return now_s
        return min((min(session.due_s(), now_s + _LOOK_S) for session in self._sessions), default=float("inf"))

    def forget(self, slot: Slot) -> None:
        """Deliver the samples of the slow message with which a worker has died.

        A sample that is not read yet is dropped, unless it shows the message with which the worker died.
        """
        for session in self._slow():
            if session.run[0] == slot.worker:
                self._sessions.remove(session)
                session.deliver(clock.monotonic())
        run = self._signalled.pop(slot.index, None)
        if run is not None and run != _run_of(slot, slot.activity.read()):
            self._worker_pool.stacks[slot.index].keep_fatal()

    def _end_sessions(self, now_s: float) -> None:
        running = [(slot.worker, slot.activity.read()) for slot in self._worker_pool.up]
        for session in list(self._sessions):
            if session.is_over(running, now_s):
                self._sessions.remove(session)
                session.deliver(now_s)

    def _signal(self, slot: Slot, now_s: float) -> None:
        snapshot = slot.activity.read()
        wanting = [session for session in self._sessions if session.wanted.has(snapshot)]
        if not any(session.due_s() <= now_s for session in wanting) or not slot.pid or slot.ended_by_us:
            return
        if self._is_taken(slot) or self._stacks.is_reading(slot):
            return
        if {*map(type, wanting)} == {SlowSession} and not catches(slot.pid, signal.SIGUSR1):
            return  # its handler has changed the signal: it would die of a sample that nobody has asked for
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
                session.add(stack)


def stack_of(text: str) -> Stack:
    """The stack of the handler in what faulthandler has written; empty if it is not there, or not complete."""
    frames = handler_frames(text)[:_MOST_FRAMES]
    return tuple(Frame(shortened(name), shortened(file), line) for file, line, name in reversed(frames))


def _run_of(slot: Slot, snapshot: Snapshot) -> _Run:
    return slot.worker, snapshot.running, snapshot.delivery
