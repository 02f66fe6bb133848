"""How long each message has waited and run."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Tuple

from bizzmq.errors import ConfigurationError
from bizzmq.middleware.base import Middleware
from bizzmq.utils import clock
from bizzmq.validation import checks

if TYPE_CHECKING:
    from bizzmq.context import Context


@dataclass(frozen=True)
class Measurement:
    """One run of a message. Times are seconds.

    Attributes:
        id: the id of the message.
        queue: the name of its queue.
        task: the name of its task; "" for a plain message.
        delivery: the number of this delivery, from 1.
        waited_s: from publishing to the start of this delivery: delays and earlier deliveries included. It compares
            the clocks of Redis and of this host, and is never below 0.
        ran_s: how long the handler ran, with the middleware behind this one.
        cpu_s: the CPU time that this process has used meanwhile, in all threads.
        error: the name of the error's type; "" if the message has succeeded.
    """

    id: str
    queue: str
    task: str
    delivery: int
    waited_s: float
    ran_s: float
    cpu_s: float
    error: str


class Timing(Middleware):
    """Measures each run of a message.

    Args:
        report: called with a Measurement after each run.

    Raises:
        ConfigurationError: `report` is no function.
    """

    def __init__(self, report: Callable[[Measurement], Any]) -> None:
        if not callable(report):
            raise ConfigurationError(f"Timing takes a function of a Measurement, not {checks.shown(report)}")
        self._report = report
        self._started: ContextVar[Tuple[float, float]] = ContextVar("bizzmq_timing")

    def before_handler(self, context: Context) -> None:
        """Note the start."""
        self._started.set((clock.monotonic(), time.process_time()))

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        """Report the run."""
        started_s, started_cpu_s = self._started.get()
        ran_s, cpu_s = clock.monotonic() - started_s, time.process_time() - started_cpu_s
        self._report(
            Measurement(
                id=context.id,
                queue=context.queue,
                task=context.task,
                delivery=context.delivery,
                waited_s=max(0.0, context.started_at_s - context.published_at_s),
                ran_s=ran_s,
                cpu_s=cpu_s,
                error="" if error is None else type(error).__name__,
            )
        )
