"""What a queue is set to, and what it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Mapping

from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.keys import MAX_SHARDS

LAYOUT_VERSION = 1


@dataclass(frozen=True)
class QueueOptions:
    """How a queue treats its messages. Fixed when the queue is created.

    Args:
        config_dead_letter_queue: keep what could not be handled in `NAME_dlq` instead of discarding it.
        max_retries: how often a message is tried again after its first failure.
        retry: the retry count that its messages start with.
        retry_backoff_s: seconds before the first retry; doubles with each one. 0 retries at once.
        retry_backoff_max_s: upper bound of that wait, seconds.
        timeout_s: how long one delivery may take, seconds; None sets no limit.
        shards: over how many places the queue is spread, which may be on several nodes of a cluster. Messages keep
            their order within a shard only.
    """

    config_dead_letter_queue: bool = False
    max_retries: int = 3
    retry: int = 0
    retry_backoff_s: float = 0.5
    retry_backoff_max_s: float = 300.0
    timeout_s: float | None = None
    shards: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= MAX_SHARDS:
            raise ConfigurationError(f"shards must be between 1 and {MAX_SHARDS}")
        if self.max_retries < 0 or self.retry < 0:
            raise ConfigurationError("max_retries and retry must be 0 or more")
        if not (0 <= self.retry_backoff_s < math.inf and 0 <= self.retry_backoff_max_s < math.inf):
            raise ConfigurationError("retry_backoff_s and retry_backoff_max_s must be 0 or more, and finite")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise ConfigurationError("timeout_s must be more than 0 and finite, or None for no limit")

    def to_meta(self) -> dict[str, str]:
        """The fields of the queue's meta hash."""
        return {
            "layout": str(LAYOUT_VERSION),
            "dead_letter": "1" if self.config_dead_letter_queue else "0",
            "max_retries": str(int(self.max_retries)),
            "retry": str(int(self.retry)),
            "retry_backoff_s": repr(float(self.retry_backoff_s)),
            "retry_backoff_max_s": repr(float(self.retry_backoff_max_s)),
            "timeout_s": "" if self.timeout_s is None else repr(float(self.timeout_s)),
            **({"shards": str(int(self.shards))} if self.shards > 1 else {}),
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, str]) -> QueueOptions:
        """The options that a meta hash holds; fields that it lacks have their defaults.

        Raises:
            DecodeError: they are none.
        """
        default = cls()
        timeout_s = meta.get("timeout_s", "")
        try:
            return cls(
                config_dead_letter_queue=meta.get("dead_letter") == "1",
                max_retries=int(meta.get("max_retries", default.max_retries)),
                retry=int(meta.get("retry", default.retry)),
                retry_backoff_s=float(meta.get("retry_backoff_s", default.retry_backoff_s)),
                retry_backoff_max_s=float(meta.get("retry_backoff_max_s", default.retry_backoff_max_s)),
                timeout_s=float(timeout_s) if timeout_s else None,
                shards=int(meta.get("shards", default.shards)),
            )
        except ValueError as error:
            raise DecodeError(f"a queue's stored options cannot be meant: {error}") from error


@dataclass(frozen=True)
class QueueStats:
    """One consistent look at a queue.

    `waiting` (all priorities), `delayed`, `processing` and `dead_lettered` count the messages that are
    there now; the others are totals since the queue was created.
    """

    waiting: int = 0
    delayed: int = 0
    processing: int = 0
    dead_lettered: int = 0
    published: int = 0
    acked: int = 0
    retried: int = 0
    requeued: int = 0
    discarded: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
