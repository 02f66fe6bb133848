"""The ends of messages, in the order in which they come: the loop that blocks for them."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Iterator, List, Sequence, Tuple

from bizzmq.results.awaited import Awaited
from bizzmq.results.reader import Line, ResultReaders
from bizzmq.results.wait import ResultWait
from bizzmq.utils import clock
from bizzmq.utils.readiness import readable

_LATE_S = 0.05
"""How long after the end of a wait its last reply is waited for, so that its connection can be used again."""
Sources = Sequence[Tuple[ResultReaders, Sequence[Awaited]]]


def endings(sources: Sources, timeout_s: float | None = None) -> Iterator[Awaited]:
    """The messages in the order in which they end, each with its resolution.

    Args:
        sources: the messages of each client.
        timeout_s: how long to wait for all of them, seconds; None for no limit.

    Raises:
        TimeoutError: the time is over.
        ClosedError, ConnectionLimitError, BrokerUnavailableError (only for what waiting does not cure)
    """
    until_s = math.inf if timeout_s is None else clock.monotonic() + timeout_s
    with ExitStack() as stack:
        waits: List[ResultWait] = []
        lines: List[Line] = []
        for readers, awaited in sources:
            if all(one.resolution is not None for one in awaited):
                waits.append(ResultWait(awaited, lambda _key: ""))
                continue
            reader = stack.enter_context(readers.lend())
            waits.append(ResultWait(awaited, reader.group_of))
            lines += reader.lines(waits[-1])
        run = _Run(waits, lines, [readers for readers, _ in sources])
        stack.callback(run.end)
        yield from run.resolved()
        while any(line.is_waiting for line in lines):
            run.step(until_s)
            yield from run.resolved()
            if clock.monotonic() >= until_s and any(line.is_waiting for line in lines):
                raise TimeoutError(f"no result within {timeout_s:g} s")


class _Run:
    """One wait on all of its connections."""

    def __init__(self, waits: Sequence[ResultWait], lines: Sequence[Line], readers: Sequence[ResultReaders]) -> None:
        self._waits, self._lines, self._readers = waits, lines, readers

    def resolved(self) -> Iterator[Awaited]:
        """What has ended since the last call."""
        for wait in self._waits:
            found, wait.resolved = wait.resolved, []
            yield from found

    def step(self, until_s: float) -> None:
        """Wait for results until some come or it is time to look for missing ones; then take all that are there."""
        for readers in self._readers:
            readers.require_open()
        now_s = clock.monotonic()
        waiting = [line for line in self._lines if line.is_waiting]
        for line in waiting:
            if not line.is_blocked and now_s >= line.retry_at_s:
                line.block(max(0.001, min(line.slice_s, until_s - now_s)))
        self._wait_for_one(waiting, until_s)
        for line in waiting:
            if line.is_blocked and line.descriptor() < 0:
                line.receive()

    def _wait_for_one(self, waiting: Sequence[Line], until_s: float) -> None:
        """Wait until a line has a reply, or may try again."""
        now_s = clock.monotonic()
        blocked = [line.descriptor() for line in waiting if line.is_blocked]
        if -1 in blocked:
            return
        ends_s = [until_s + _LATE_S, *(line.late_s if line.is_blocked else line.retry_at_s for line in waiting)]
        limit_s = max(0.0, min(ends_s) - now_s)
        if blocked:
            readable(limit_s, *blocked)
        else:
            clock.sleep(limit_s)

    def end(self) -> None:
        """Leave no reply behind."""
        for line in self._lines:
            if line.is_blocked:
                line.drop()
