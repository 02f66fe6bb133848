"""Looks for a reply for a moment before sleeping for it, as long as that pays.

Whoever sleeps for a reply is put off the processor and back on it, and where nothing else runs there, the processor
sleeps, too: on a virtual machine waking it takes longer than a server nearby takes to answer. Between two looks the
processor is offered to others, the server among them: looking costs little where there is something else to do. What
that has brought is in docs/performance.md, and why it is done in ADR 47.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Callable

LOOK_S = 0.000_100
"""For how long, at most, beside what others are given meanwhile. A claim takes 30 to 50 us on a server nearby."""
PAYS_S = 0.001
"""A reply that has taken longer would better have been slept for: others had the processor for their whole turn."""
_TRUST, _GAIN, _LOSS = 16, 2, 1
"""What looking is worth is a number up to the first. A success adds the second, a failure takes the third."""
_SLEEPS, _TRIES = 256, 4
"""So many replies are slept for before it is tried again, and so often."""


class BusyPoll:
    """For one plain socket that blocks.

    Args:
        receive: its `recv`.
    """

    __slots__ = ("_receive", "_slept", "_worth")

    def __init__(self, receive: Callable[[int, int], bytes]) -> None:
        self._receive = receive
        self._worth = _TRUST
        self._slept = 0

    def __call__(self, size: int) -> bytes | None:
        """What was received, b"" at the end of the stream; None if it should be slept for. Raises OSError."""
        if self._worth <= 0 and not self._is_due():
            return None
        receive, offer, clock_s = self._receive, os.sched_yield, time.perf_counter
        begin_s = clock_s()
        while True:
            try:
                data = receive(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if clock_s() - begin_s > LOOK_S:
                    self._worth -= _LOSS
                    return None
                offer()
                continue
            if clock_s() - begin_s > PAYS_S:
                self._worth -= _LOSS
            elif self._worth < _TRUST:
                self._worth += _GAIN
            return data

    def _is_due(self) -> bool:
        self._slept += 1
        if self._slept < _SLEEPS:
            return False
        self._slept, self._worth = 0, _TRIES * _LOSS
        return True
