"""What a pool is told: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence, Union

from bizzmq.claim_size import DEFAULT_LIMIT
from bizzmq.errors import ConfigurationError
from bizzmq.keys import QueueKeys
from bizzmq.workers import processors

DEFAULT_URL = "redis://localhost:6379/0"


@dataclass(frozen=True)
class WorkerConfig:
    """A pool of worker processes.

    Args:
        handler: `MODULE:CALLABLE`, imported in each worker, or a callable that the workers inherit.
        queues: queue names in order of preference; a missing one is created with a dead-letter queue.
        concurrency: worker processes; 0 means as many as there are processors to use.
        redis_url: as for BizzMQ.
        drain_timeout_s: within this time after SIGTERM the whole pool is gone.
        burst: leave once the queues hold nothing to do.
        max_messages: replace a worker after so many messages; 0 means never.
        prefetch: most messages that one worker claims at once, 1 to 100.
        block_s: longest wait of an idle worker for a wake-up, seconds.
        beat_s, lease_s, scan_s: see LeaseOptions.
        respawn_s, respawn_max_s: wait before a worker that died again is replaced: this, doubling, at most that.
        healthy_s: a worker that lived this long makes its slot's earlier deaths forgotten.
        max_crashes: how many workers a message may kill before it is quarantined.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    handler: Union[str, Callable[..., Any]]
    queues: Sequence[str] = ("default",)
    concurrency: int = 0
    redis_url: str = field(default=DEFAULT_URL, repr=False)  # may hold a password
    drain_timeout_s: float = 30.0
    burst: bool = False
    max_messages: int = 0
    prefetch: int = DEFAULT_LIMIT
    block_s: float = 5.0
    beat_s: float = 3.0
    lease_s: float = 15.0
    scan_s: float = 5.0
    respawn_s: float = 0.1
    respawn_max_s: float = 30.0
    healthy_s: float = 60.0
    max_crashes: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.queues, str) or not self.queues:
            raise ConfigurationError("queues must be a list of at least one queue name")
        if len(set(self.queues)) != len(self.queues):
            raise ConfigurationError("a queue is named twice")
        for queue in self.queues:
            QueueKeys(queue)
        if len(self.queues) > 200:
            raise ConfigurationError("one pool can serve at most 200 queues")
        if not 1 <= self.prefetch <= 100:
            raise ConfigurationError("prefetch must be between 1 and 100")
        self._require(0, "concurrency", "max_messages", "drain_timeout_s", "respawn_s")
        self._require(0.001, "block_s", "beat_s", "lease_s", "scan_s", "respawn_max_s", "healthy_s", "max_crashes")
        if self.lease_s < 2 * self.beat_s:
            raise ConfigurationError("lease_s must be at least twice beat_s, or a late beat ends the lease")

    def _require(self, least: float, *names: str) -> None:
        for name in names:
            if not least <= getattr(self, name) < math.inf:
                raise ConfigurationError(f"{name} must be {least} or more, and finite")

    @property
    def worker_count(self) -> int:
        """How many workers the pool has."""
        return self.concurrency or processors.available()
