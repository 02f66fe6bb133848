"""Which worker imports the handler first. Without a template each worker imports it; the others wait for the first one.

So what an import compiles, or writes into a cache, is there when the others look for it.
"""

from __future__ import annotations

import logging
from typing import Optional

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.process import syscalls
from bizzmq.workers.supervisor.slot import Phase, Slot

_logger = logging.getLogger("bizzmq.supervisor")

LIMIT_S = 60.0
"""After `n` seconds another worker imports as well: the first one may be stuck."""
TRIES = 3
"""After `n` workers have imported alone and not booted, all others import at once."""


class FirstImport:
    """Tells whether another worker may begin to import the handler's module.

    Attributes:
        is_over: a process has imported it, or it need not be imported.
    """

    def __init__(self, *, is_over: bool = False, now_s: clock.Monotonic = clock.monotonic) -> None:
        self.is_over = is_over
        self._now_s = now_s
        self._slot: Optional[Slot] = None
        self._worker = ""
        self._begun_s = 0.0
        self._tries = 0

    def may_begin(self) -> bool:
        """Whether a worker may begin: no other one imports alone, or that one may be stuck."""
        if self.is_over or self._tries >= TRIES or not self._is_under_way():
            return True
        assert self._slot is not None
        return self._now_s() - self._begun_s >= LIMIT_S or syscalls.is_stopped(self._slot.pid)

    def begin(self, slot: Slot) -> None:
        """Note that a worker was started in this slot."""
        if self.is_over:
            return
        if self._tries < TRIES and self._is_under_way():
            log(_logger, logging.WARNING, "a worker does not come to the end of its import, the next one begins",
                worker=self._worker, after_s=round(self._now_s() - self._begun_s, 1))  # fmt: skip
        self._slot, self._worker, self._begun_s = slot, slot.worker, self._now_s()
        self._tries += 1

    def _is_under_way(self) -> bool:
        slot = self._slot
        return slot is not None and slot.phase is Phase.UP and slot.worker == self._worker
