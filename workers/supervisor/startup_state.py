"""Whether to wait for Redis: not if its answers at the start are final, and in a burst only for a while."""

from __future__ import annotations

from typing import Mapping

from bizzmq.protocol.keys import logical_queue
from bizzmq.utils import clock
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.worker_messages import BootFailure


class StartupState:
    """What the janitor reports of Redis, and what follows for the pool.

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

    def note_ready(self) -> None:
        """Note that Redis serves this pool. From now on, a refusal is an outage."""
        self._was_ready = True

    def note_unusable(self, why: str) -> None:
        """Give up at the start, since Redis can never serve this pool."""
        if not self._was_ready:
            self.failure = BootFailure(why, code=exit_codes.USAGE)

    def check(self, *, away: bool, aside: Mapping[str, str]) -> None:
        """Note whether Redis is away now, and what is wrong with each queue, or shard, that is set aside."""
        now_s = self._now_s()
        no_queue_left = {*map(logical_queue, aside)} >= self._queues
        if not away and not no_queue_left:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = now_s
        elif now_s - self._away_since_s >= self._patience_s and self.failure is None:
            what = "Redis has been away" if away else f"every queue has been set aside ({_first(aside)})"
            lasted = f"{what} for {self._patience_s:g} s, and a burst does not wait longer"
            self.failure = BootFailure(f"{lasted} (burst_patience_s)", code=exit_codes.REDIS_AWAY)

    def burst_is_over(self, aside: Mapping[str, str]) -> None:
        """Fail if a burst, which has done all that it could, leaves queues behind."""
        if aside and self.failure is None:
            left = f"the burst has left queues behind that are set aside: {_first(aside)}"
            self.failure = BootFailure(left, code=exit_codes.REDIS_AWAY)


def _first(aside: Mapping[str, str]) -> str:
    """One queue with what is wrong with it, and how many more there are."""
    queue, error = next(iter(aside.items()))
    more = f"; {len(aside) - 1} more" if len(aside) > 1 else ""
    return f"{queue}: {error}{more}"
