"""Metrics by OpenTelemetry: messages by outcome, and how long they waited and ran."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Set

from bizzmq.errors import MessageCancelled
from bizzmq.middleware.base import Middleware, WorkerCrash
from bizzmq.middleware.optional import Library
from bizzmq.middleware.provider import Provider
from bizzmq.utils import clock
from bizzmq.validation import checks

if TYPE_CHECKING:
    from bizzmq.context import Context

_LIBRARY = Library("opentelemetry", "opentelemetry-api", "OpenTelemetryMetrics")
_MOST_TASKS, _OTHER = 100, "other"
_WORKER_CRASHED = "WorkerCrashed"


class _Instruments(NamedTuple):
    provider: Any
    messages: Any
    run: Any
    wait: Any


class OpenTelemetryMetrics(Middleware):
    """Counts deliveries by outcome, and measures how long messages waited and ran.

    The instruments are the counter `bizzmq.messages`, and the histograms `messaging.process.duration` and
    `bizzmq.message.wait` in seconds. Attributes: the queue (`messaging.destination.name`), `bizzmq.task`, and
    `bizzmq.outcome` or `error.type`. After 100 tasks in one process, further ones are `other`.

    Args:
        meter_provider: a MeterProvider, or a function that makes one and is called once in each process that needs it.
            Use a function in a pool: a reader that exports starts a thread, which belongs behind the fork. The default
            is OpenTelemetry's global one.
        flush_timeout_s: how long a worker waits at its end until its metrics are exported, seconds or a timedelta; the
            rest of the drain's time is a limit, too.

    Raises:
        ConfigurationError: OpenTelemetry is not installed, or an argument is invalid.
    """

    def __init__(self, meter_provider: Any = None, *, flush_timeout_s: checks.Seconds = 10.0) -> None:
        metrics = _LIBRARY.load("metrics")
        self._flush_timeout_s = checks.seconds("flush_timeout_s", flush_timeout_s)
        self._provider = Provider(
            "meter_provider", meter_provider, "get_meter", "MeterProvider", metrics.get_meter_provider
        )
        self._made: _Instruments | None = None
        self._tasks: Set[str] = set()
        self._started_s: ContextVar[float] = ContextVar("bizzmq_metrics_start", default=0.0)

    def _instruments(self) -> _Instruments:
        provider, made = self._provider.get(), self._made
        if made is None or made.provider is not provider:
            meter = provider.get_meter("bizzmq")
            made = self._made = _Instruments(
                provider,
                meter.create_counter("bizzmq.messages", "{message}", "Deliveries that have ended, by outcome."),
                meter.create_histogram("messaging.process.duration", "s", "How long handlers ran."),
                meter.create_histogram("bizzmq.message.wait", "s", "How long messages waited for the first delivery."),
            )
        return made

    def before_handler(self, context: Context) -> None:
        """Measure how long the message has waited, and note the start."""
        self._started_s.set(clock.monotonic())
        if context.delivery == 1:
            wait_s = max(0.0, context.started_at_s - context.published_at_s)
            self._instruments().wait.record(wait_s, self._about(context.queue, context.task))

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        """Measure how long the handler ran, and count a success."""
        attributes = self._about(context.queue, context.task)
        instruments = self._instruments()
        if error is None:
            instruments.messages.add(1, {**attributes, "bizzmq.outcome": "succeeded"})
        ran = {"messaging.operation.name": "process", **({} if error is None else {"error.type": type(error).__name__})}
        instruments.run.record(clock.monotonic() - self._started_s.get(), {**attributes, **ran})

    def on_retry(self, context: Context, error: BaseException, delay_s: float) -> None:
        """Count a retry."""
        self._count(context.queue, context.task, "retried")

    def on_dead_letter(self, context: Context, error: BaseException, record: Mapping[str, Any] | None) -> None:
        """Count a message that has failed for good."""
        self._count(context.queue, context.task, "discarded" if record is None else "dead_lettered")

    def on_release(self, context: Context, error: BaseException, delay_s: float) -> None:
        """Count a message that goes back without blame, or is cancelled."""
        self._count(context.queue, context.task, "cancelled" if isinstance(error, MessageCancelled) else "released")

    def on_worker_boot(self) -> None:
        """Make the meter provider of this process."""
        self._instruments()

    def on_worker_crash(self, crash: WorkerCrash) -> None:
        """Count the message of a dead worker, and export that before this worker may die, too."""
        if crash.message_id:
            self._count(crash.queue, crash.task, "crashed" if crash.error_type == _WORKER_CRASHED else "killed")
            self._provider.flush(self._flush_timeout_s)

    def on_worker_shutdown(self) -> None:
        """Export what is not exported yet."""
        self._provider.flush(self._flush_timeout_s)
        self._provider.shut_down()

    def _count(self, queue: str, task: str, outcome: str) -> None:
        self._instruments().messages.add(1, {**self._about(queue, task), "bizzmq.outcome": outcome})

    def _about(self, queue: str, task: str) -> Dict[str, Any]:
        if task not in self._tasks:
            if len(self._tasks) >= _MOST_TASKS:
                task = _OTHER
            else:
                self._tasks.add(task)
        found = {"messaging.system": "bizzmq", "messaging.destination.name": queue}
        return {**found, "bizzmq.task": task} if task else found
