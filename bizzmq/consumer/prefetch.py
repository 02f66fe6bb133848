"""Prefetch: how many messages to claim at once. More saves round trips; fewer keep no message waiting for long."""

from __future__ import annotations

DEFAULT_LIMIT = 100
BUDGET_S = 0.030
"""Work that a worker may hold, seconds. A handler that takes over half of it gets single messages. See ADR 46."""
OVERDUE_S = 0.040
"""A batch that takes longer than this is given back, apart from the messages that were started. Seconds."""


class AdaptivePrefetch:
    """The size of a claim. It starts at one, doubles while the measured handler time permits, and falls at once.

    Attributes:
        size: the number of messages to claim now.
        longest_s: the time after which the rest of a batch should be given back, seconds.
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
        """Adapt to a batch: `count` messages took `elapsed_s` in the handler."""
        if count <= 0:
            return
        fitting = int(self._budget_s * count / elapsed_s) if elapsed_s > 0 else self._limit
        self.size = max(1, min(self._limit, fitting, self.size * 2))
