"""A handler for tests of the library that records its deliveries, and a check that a queue is at rest."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq import BizzMQ, Context, QueueOptions
from bizzmq.testing.wait import eventually

NO_BACKOFF = QueueOptions(config_dead_letter_queue=True, max_retries=2, retry_backoff_s=0)


class RecordingHandler:
    """Records each body and context, then does `outcome(body, context)`."""

    def __init__(self, outcome: Callable[[Any, Context], Any] | None = None) -> None:
        self._outcome = outcome
        self.bodies: list[Any] = []
        self.contexts: list[Context] = []

    def __call__(self, body: Any, context: Context) -> Any:
        self.contexts.append(context)
        self.bodies.append(body)
        return self._outcome(body, context) if self._outcome else None

    def wait(self, count: int, timeout_s: float = 30.0) -> list[Any]:
        """Wait for `count` bodies and return all of them."""
        eventually(lambda: len(self.bodies) >= count, timeout_s, lambda: f"{count} bodies, got {self.bodies}")
        return self.bodies


def fail(body: Any, context: Context) -> None:
    raise ValueError(f"cannot handle {body!r}")


def at_rest(mq: BizzMQ, queue: str) -> bool:
    """Whether no message of the queue is waiting, delayed or being handled."""
    stats = mq.stats(queue)
    return stats.waiting == stats.delayed == stats.processing == 0
