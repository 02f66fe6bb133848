"""The rules of alerts: what is watched, and the limits, for all queues or for one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, NamedTuple, Optional

from bizzmq.errors import ConfigurationError
from bizzmq.protocol.keys import is_dead_letter_queue, is_name

OLDEST_WAITING, DEAD_LETTERS, WORKER_DEATHS = "oldest-waiting", "dead-letters", "worker-deaths"
NO_WORKER, LATE_SCHEDULE, SILENT_POOL = "no-worker", "late-schedule", "silent-pool"
UNUSABLE_QUEUE, REDIS_AWAY = "unusable-queue", "redis-away"
WINDOW_S = 300
"""Dead letters and deaths of workers count within this time."""


class Kind(NamedTuple):
    """A kind of alert.

    Attributes:
        title: what is wrong, in a few words.
        default: its limit, seconds or a count.
        is_time: whether the limit is a time.
        holds: whether the limit is how long it must hold before the alert is sent.
    """

    title: str
    default: float
    is_time: bool = True
    holds: bool = False


KINDS: Mapping[str, Kind] = {
    OLDEST_WAITING: Kind("a message waits too long", 300.0),
    DEAD_LETTERS: Kind("messages are dead-lettered", 1, is_time=False),
    WORKER_DEATHS: Kind("workers die again and again", 5, is_time=False),
    NO_WORKER: Kind("messages wait, and there is no worker", 60.0, holds=True),
    LATE_SCHEDULE: Kind("a schedule has not fired", 60.0),
    SILENT_POOL: Kind("a pool is silent", 15.0),
    UNUSABLE_QUEUE: Kind("the queue cannot be used", 60.0, holds=True),
    REDIS_AWAY: Kind("Redis is away", 30.0, holds=True),
}


@dataclass(frozen=True)
class Limits:
    """The limits of one kind.

    Attributes:
        usual: for all queues without a limit of their own; None for no alert.
        own: by queue.
    """

    usual: Optional[float]
    own: Mapping[str, Optional[float]] = field(default_factory=dict)

    def of(self, queue: str) -> Optional[float]:
        """The limit for a queue; None for no alert."""
        return self.own.get(queue, self.usual)


@dataclass(frozen=True)
class Rules:
    """What is watched.

    Attributes:
        limits: by kind; a kind that is missing has its default.
        queues: the names of the queues; empty for all of them.
    """

    limits: Mapping[str, Limits] = field(default_factory=dict)
    queues: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for queue in self.queues:
            check_queue(queue)
            if self.queues.count(queue) > 1:
                raise ConfigurationError(f"the queue {queue} is named twice")
        for kind, limits in self.limits.items():
            for queue in limits.own:
                if self.queues and queue not in self.queues:
                    raise ConfigurationError(f"{kind} has a limit for {queue}, which is not among the queues")

    def limit(self, kind: str, queue: str = "") -> Optional[float]:
        """The limit of a kind for a queue; None for no alert."""
        limits = self.limits.get(kind)
        return KINDS[kind].default if limits is None else limits.of(queue)


def check_queue(queue: str) -> None:
    """Raise ConfigurationError if this is not the name of a queue that can be watched."""
    if not is_name(queue) or ":" in queue:
        raise ConfigurationError(f"bad queue name {queue!r}")
    if is_dead_letter_queue(queue):
        raise ConfigurationError(f"{queue!r} is a dead-letter queue: name the queue that it belongs to")
