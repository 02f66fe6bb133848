"""Whether waiting for Redis makes sense: some answers at the start no waiting mends, and a burst has an end."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq import clock
from bizzmq.keys import whole_of
from bizzmq.workers import exits
from bizzmq.workers.boot import BootFailure
from bizzmq.workers.config import WorkerConfig


class Outlook:
    """What the janitor says of Redis, and what follows.

    Attributes:
        failure: why the pool gives up, or None.
    """

    def __init__(self, config: WorkerConfig, now_s: clock.Monotonic = clock.monotonic) -> None:
        self._queues = set(config.queues)
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
            self.failure = BootFailure(message["why"], code=exits.USAGE)

    def look(self, *, away: bool, aside: Mapping[str, str]) -> None:
        """Note whether Redis is away now, and what is wrong with each queue, or shard of one, that is set aside."""
        now_s = self._now_s()
        no_queue_left = {*map(whole_of, aside)} >= self._queues
        if not away and not no_queue_left:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = now_s
        elif now_s - self._away_since_s >= self._patience_s and self.failure is None:
            what = "Redis has been away" if away else f"every queue has been set aside ({_first(aside)})"
            lasted = f"{what} for {self._patience_s:g} s, and a burst does not wait longer"
            self.failure = BootFailure(f"{lasted} (burst_patience_s)", code=exits.REDIS_AWAY)

    def is_over(self, aside: Mapping[str, str]) -> None:
        """A burst has done all that it could: say what it has left behind."""
        if aside and self.failure is None:
            left = f"the burst has left queues behind that are set aside: {_first(aside)}"
            self.failure = BootFailure(left, code=exits.REDIS_AWAY)


def _first(aside: Mapping[str, str]) -> str:
    """One queue with what is wrong with it, and how many more there are."""
    queue, error = next(iter(aside.items()))
    more = f"; {len(aside) - 1} more" if len(aside) > 1 else ""
    return f"{queue}: {error}{more}"
