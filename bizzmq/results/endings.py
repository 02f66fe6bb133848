"""The ends of messages, in the order in which they come: the loop that waits for them."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Iterator, List, Sequence, Tuple

from bizzmq.results.awaited import Awaited
from bizzmq.results.line import Line
from bizzmq.results.reader import ResultReaders
from bizzmq.results.wait import ResultWait
from bizzmq.utils import clock
from bizzmq.utils.readiness import readable

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
        while run.missing():
            is_late = run.step(until_s)
            yield from run.resolved()
            if is_late and run.missing():
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

    def missing(self) -> List[Line]:
        """The lines that wait for a result."""
        return [line for line in self._lines if line.is_waiting]

    def step(self, until_s: float) -> bool:
        """Wait for notices until some come or it is time to look for results; then take all that are there.

        Returns whether the time is over. Then all results that were there at its end have been taken.
        """
        for readers in self._readers:
            readers.require_open()
        waiting = self.missing()
        self._wait_for_one(waiting, until_s)
        for line in waiting:
            line.step()
        is_late = clock.monotonic() >= until_s
        for line in self.missing() if is_late else ():
            line.read_since(until_s)
        return is_late

    def _wait_for_one(self, waiting: Sequence[Line], until_s: float) -> None:
        """Wait until a line has a notice, or something to do."""
        found = [line.descriptor() for line in waiting]
        descriptors = {descriptor for descriptor in found if descriptor is not None}
        limit_s = max(0.0, min([until_s, *(line.due_s for line in waiting)]) - clock.monotonic())
        if -1 in descriptors or not limit_s:
            return
        if descriptors:
            readable(limit_s, *descriptors)
        else:
            clock.sleep(limit_s)

    def end(self) -> None:
        """Give up the subscriptions."""
        for line in self._lines:
            line.end()
