"""Busy polling: looks for a reply for a moment before it sleeps, as long as that pays.

A process that sleeps for a reply is taken off the processor and put back on it. If nothing else runs there, the
processor sleeps, too, and on a virtual machine waking it takes longer than a nearby server takes to answer. Between two
looks the processor is offered to other processes, the server among them, so that polling costs little on a busy
machine. The gain is in docs/internals/performance.md, the reasons are in ADR 47.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Callable

LOOK_S = 0.000_100
"""Longest time to poll, without the time that other processes get. A claim takes 30 to 50 us on a server nearby."""
PAYS_S = 0.001
"""A reply that took longer should have been slept for: other processes used the processor for their whole turn."""
_WORTH_LIMIT, _GAIN, _LOSS = 16, 2, 1
"""The worth of polling is a number up to the first. A success adds the second, a failure subtracts the third."""
_PAUSE_REPLIES, _TRIES = 256, 4
"""Without worth, polling pauses for this number of replies, and is then tried this number of times."""


class BusyPoll:
    """For one plain socket that blocks.

    Args:
        receive: the socket's `recv`.
    """

    __slots__ = ("_receive", "_skipped", "_worth")

    def __init__(self, receive: Callable[[int, int], bytes]) -> None:
        self._receive = receive
        self._worth = _WORTH_LIMIT
        self._skipped = 0

    def __call__(self, size: int) -> bytes | None:
        """The received data, b"" at the end of the stream; None if the caller should sleep for it. Raises OSError."""
        if self._worth <= 0 and not self._is_retried():
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
            elif self._worth < _WORTH_LIMIT:
                self._worth += _GAIN
            return data

    def _is_retried(self) -> bool:
        self._skipped += 1
        if self._skipped < _PAUSE_REPLIES:
            return False
        self._skipped, self._worth = 0, _TRIES * _LOSS
        return True
