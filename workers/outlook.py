"""Whether waiting for Redis makes sense: some answers at the start no waiting mends, and a burst has an end."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq import clock
from bizzmq.workers import exits
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.config import WorkerConfig


class Outlook:
    """What the janitor says of Redis, and what follows.

    Attributes:
        failure: why the pool gives up, or None.
    """

    def __init__(self, config: WorkerConfig, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._patience_s = config.burst_patience_s if config.burst else float("inf")
        self._now_s = now_s
        self._away_since_s: float | None = None
        self._was_ready = False
        self.failure: BootFailure | None = None

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in what the janitor has said. Once Redis was of use, what it refuses is an outage."""
        if message["op"] == "ready":
            self._was_ready = True
        elif message["op"] == "unusable" and not self._was_ready:
            self.failure = BootFailure(f"Redis cannot be used: {message['error']}", code=exits.USAGE)

    def look(self, *, away: bool) -> None:
        """Note whether Redis is away now."""
        now_s = self._now_s()
        if not away:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = now_s
        elif now_s - self._away_since_s >= self._patience_s and self.failure is None:
            lasted = f"Redis has been away for {self._patience_s:g} s, and a burst does not wait longer"
            self.failure = BootFailure(f"{lasted} (burst_patience_s)", code=exits.REDIS_AWAY)
