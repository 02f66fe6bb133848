"""How many messages to claim at once: enough work to make the round trip small, and less than others would wait for."""

from __future__ import annotations

DEFAULT_LIMIT = 100
BUDGET_S = 0.030
"""Work that a worker may hold, seconds. A handler of more than half of it gets one message at a time. See ADR 46."""
OVERDUE_S = 0.040
"""A claim that takes longer than that goes back, as far as it was not started."""


class ClaimSize:
    """Starts at one, doubles while measured handler time leaves room, falls at once when it does not.

    Attributes:
        size: how many to claim now.
        longest_s: a batch that has taken so many seconds should leave its rest to others.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT, budget_s: float = BUDGET_S) -> None:
        self._limit = limit
        self._budget_s = budget_s
        self.longest_s = OVERDUE_S
        self.size = 1

    def at_most(self, count: int) -> None:
        """From now on, claim at most `count` messages."""
        self._limit = max(1, min(self._limit, count))
        self.size = min(self.size, self._limit)

    def observe(self, count: int, elapsed_s: float) -> None:
        """Learn from a batch: so many messages took so many seconds in the handler."""
        if count <= 0:
            return
        fitting = int(self._budget_s * count / elapsed_s) if elapsed_s > 0 else self._limit
        self.size = max(1, min(self._limit, fitting, self.size * 2))
