"""What is sampled, and how its samples are counted: what somebody has asked for, or one slow message."""

from __future__ import annotations

import math
from collections import Counter
from typing import Callable, NamedTuple, Sequence, Tuple

from bizzmq.protocol.profile import MOST_STACKS, OTHERS, Profile, Stack
from bizzmq.utils import clock
from bizzmq.workers.ipc.slot_activity import Activity, Snapshot

INTERVAL_S = 0.05
"""Between two samples of a worker. A stack of 25 frames costs it 0.16 ms, a third of a percent."""
_DENSE_SAMPLES = 500
"""After this number of intervals the samples of a slow message become rarer: two an interval, three, and so on."""
_FIRST_REPORT_S, _REPORT_S, _REPORT_SHARE = 0.5, 2.0, 0.05
Deliver = Callable[[Profile], object]
Running = Sequence[Tuple[str, Snapshot]]
"""The workers that are up, and what they do."""


class Wanted(NamedTuple):
    """Which running messages are sampled. An empty text selects all.

    Attributes:
        message: the id of one message.
        task: the name of their task. The scoreboard has its last 64 bytes.
    """

    message: str = ""
    task: str = ""

    def has(self, snapshot: Snapshot) -> bool:
        """Whether this is running, and selected."""
        if snapshot.activity is not Activity.RUNNING or self.message not in ("", snapshot.running):
            return False
        return not self.task or (bool(snapshot.task) and self.task.endswith(snapshot.task))


class Session:
    """Samples that somebody has asked for, until a moment, or until the one message has ended.

    Args:
        deliver: called with the profile at the end.
    """

    def __init__(self, wanted: Wanted, until_s: float, deliver: Deliver) -> None:
        self.wanted, self._until_s, self._deliver = wanted, until_s, deliver
        self._began_s, self._rounds = clock.monotonic(), 0
        self._samples: Counter[Stack] = Counter()
        self._missed = 0
        self._worker = ""

    def is_over(self, running: Running, now_s: float) -> bool:
        """Note a round. Whether it was the last one: what runs the message next is another delivery."""
        self._rounds += 1
        if now_s >= self._until_s:
            return True
        if not self.wanted.message:
            return False
        found = [worker for worker, snapshot in running if self.wanted.has(snapshot)]
        self._worker = self._worker or "".join(found[:1])
        return not found or found[0] != self._worker

    def due_s(self) -> float:
        """When the next sample is to be taken: in each round. Monotonic seconds."""
        return 0.0

    def took_sample(self, now_s: float) -> None:
        """Note that samples are being taken."""

    def add(self, stack: Stack) -> None:
        """Count a sample. An empty stack is one that a worker did not deliver in time."""
        self._count(stack, 1)

    def _count(self, stack: Stack, by: int) -> None:
        if not stack:
            self._missed += by
            return
        is_room = stack in self._samples or len(self._samples) < 2 * MOST_STACKS
        self._samples[stack if is_room else OTHERS] += by

    def deliver(self, now_s: float) -> None:
        """Deliver what there is."""
        mean_s = round((now_s - self._began_s) / max(1, self._rounds - 1), 4)
        self._deliver(Profile(self._samples, mean_s, self._missed))


class SlowSession(Session):
    """Samples of one delivery of a slow message, from now to its end. They become rarer, and each counts for more.

    They are delivered again and again, because the message may end without notice. The number of samples, of stacks
    and of deliveries is bounded, or grows with the logarithm of the time.

    Args:
        worker, snapshot: what runs.
        deliver: called with all samples so far.
    """

    def __init__(self, worker: str, snapshot: Snapshot, deliver: Deliver) -> None:
        super().__init__(Wanted(snapshot.running), math.inf, deliver)
        self.run = worker, snapshot.running, snapshot.delivery
        self._counted_s = self._began_s
        self._report_s = self._began_s + _FIRST_REPORT_S
        self._due_s = self._began_s

    def is_over(self, running: Running, now_s: float) -> bool:
        is_running = any(
            snapshot.activity is Activity.RUNNING and (worker, snapshot.running, snapshot.delivery) == self.run
            for worker, snapshot in running
        )
        if is_running and now_s >= self._report_s:
            self._report_s = now_s + max(_REPORT_S, _REPORT_SHARE * (now_s - self._began_s))
            self.deliver(now_s)
        return not is_running

    def _pace_s(self, now_s: float) -> float:
        return max(INTERVAL_S, (now_s - self._began_s) / _DENSE_SAMPLES)

    def due_s(self) -> float:
        return self._due_s

    def took_sample(self, now_s: float) -> None:
        if now_s >= self._due_s:
            self._due_s = now_s + self._pace_s(now_s)

    def add(self, stack: Stack) -> None:
        now_s = clock.monotonic()
        since_s = min(now_s - self._counted_s, 2 * self._pace_s(now_s))  # this process may have been suspended
        self._counted_s = now_s
        self._count(stack, max(1, round(since_s / INTERVAL_S)))

    def deliver(self, now_s: float) -> None:  # noqa: ARG002 - here, samples have a fixed length
        if self._samples:
            self._deliver(Profile(self._samples, INTERVAL_S, self._missed))
