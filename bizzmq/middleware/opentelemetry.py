"""Traces by OpenTelemetry, from publishing to the outcome of each delivery."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence

from bizzmq.errors import ConfigurationError, RetryLater
from bizzmq.middleware.base import Middleware, Publication, WorkerCrash
from bizzmq.middleware.optional import Library
from bizzmq.middleware.provider import Provider
from bizzmq.properties import checked_headers
from bizzmq.validation import checks

if TYPE_CHECKING:
    from bizzmq.context import Context

_LIBRARY = Library("opentelemetry", "opentelemetry-api", "OpenTelemetry")
_TRACEPARENT, _BAGGAGE = "traceparent", "baggage"


class OpenTelemetry(Middleware):
    """Makes a span for each call that publishes, for each delivery, and for each crash of a worker.

    All are in one trace: the W3C context travels in the headers. A call that publishes several messages makes one span,
    whose context all of them carry. Names and attributes follow the semantic conventions for messaging. Baggage
    reaches the handler of its own message only.

    Args:
        tracer_provider: a TracerProvider, or a function that makes one and is called once in each process that needs
            it. Use a function in a pool: what starts a thread, as a BatchSpanProcessor does, belongs behind the fork.
            The default is OpenTelemetry's global one.
        flush_timeout_s: how long a worker waits at its end until its spans are exported, seconds or a timedelta; the
            rest of the drain's time is a limit, too.

    Raises:
        ConfigurationError: OpenTelemetry is not installed, or an argument is invalid.
    """

    def __init__(self, tracer_provider: Any = None, *, flush_timeout_s: checks.Seconds = 10.0) -> None:
        self._trace, self._propagate = _LIBRARY.load("trace"), _LIBRARY.load("propagate")
        self._context = _LIBRARY.load("context")
        self._flush_timeout_s = checks.seconds("flush_timeout_s", flush_timeout_s)
        self._provider = Provider(
            "tracer_provider", tracer_provider, "get_tracer", "TracerProvider", self._trace.get_tracer_provider
        )
        self._publishing: ContextVar[Any] = ContextVar("bizzmq_publish_span", default=None)
        self._processing: ContextVar[Any] = ContextVar("bizzmq_process_span", default=None)

    def _start(self, operation: str, kind: str, queue: str, task: str, **options: Any) -> Any:
        attributes: Dict[str, Any] = {
            "messaging.system": "bizzmq",
            "messaging.operation.name": operation,
            "messaging.operation.type": "send" if operation == "publish" else operation,
            "messaging.destination.name": queue,
            **({"bizzmq.task": task} if task else {}),
            **options.pop("attributes"),
        }
        tracer = self._provider.get().get_tracer("bizzmq")
        kinds = self._trace.SpanKind
        return tracer.start_span(f"{operation} {queue}", kind=kinds[kind], attributes=attributes, **options)

    def before_publish(self, publication: Publication) -> None:
        """Start the span, and put its context into the headers, unless they have a `traceparent` already."""
        count = len(publication.bodies)
        attributes = {"messaging.batch.message_count": count} if count > 1 else {}
        own = _TRACEPARENT in publication.headers
        links = [self._trace.Link(_span_context(self._trace, self._extracted(publication.headers)))] if own else []
        span = self._start(
            "publish", "PRODUCER", publication.queue, publication.task, attributes=attributes, links=links
        )
        self._publishing.set(span)
        if own:
            return
        carrier: Dict[str, str] = {}
        self._propagate.inject(carrier, context=self._trace.set_span_in_context(span))
        publication.headers = _merged(publication.headers, carrier)

    def after_publish(self, publication: Publication, message_ids: Sequence[str], error: BaseException | None) -> None:
        """End the span."""
        span = self._publishing.get()
        self._publishing.set(None)
        if span is None:
            return  # a body's own code has published meanwhile
        if len(publication.bodies) == 1 and message_ids:
            span.set_attribute("messaging.message.id", message_ids[0])
        if error is not None:
            self._fail(span, error)
        span.end()

    def before_handler(self, context: Context) -> None:
        """Start the span of the delivery, as a child of the span that has published the message."""
        parent = self._extracted(context.headers)
        attributes = {
            "messaging.message.id": context.id,
            "bizzmq.delivery": context.delivery,
            "bizzmq.retry_count": context.retry_count,
        }
        span = self._start("process", "CONSUMER", context.queue, context.task, attributes=attributes, context=parent)
        self._processing.set(span)
        self._context.attach(self._trace.set_span_in_context(span, parent))  # ends with the message's variables

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        """End the span of a message that has succeeded. That of a failed one ends with the decision."""
        span = self._processing.get()
        if error is None:
            span.end()
        elif not isinstance(error, RetryLater):
            span.record_exception(error)

    def on_retry(self, context: Context, error: BaseException, delay_s: float) -> None:
        """End the span with the event `retry`; its status is an error, except after `RetryLater`."""
        self._end("retry", None if isinstance(error, RetryLater) else error, {"bizzmq.delay_s": delay_s})

    def on_dead_letter(
        self,
        context: Context,
        error: BaseException,
        record: Mapping[str, Any] | None,
    ) -> None:
        """End the span with an error, and the event `dead_letter` or `discard`."""
        self._end("discard" if record is None else "dead_letter", error, {})

    def on_release(self, context: Context, error: BaseException, delay_s: float) -> None:
        """End the span with the event `release`, without an error."""
        self._end("release", None, {"bizzmq.delay_s": delay_s})

    def _end(self, event: str, error: BaseException | None, attributes: Mapping[str, Any]) -> None:
        span = self._processing.get()
        if span is None:
            return  # another middleware has refused the message before
        span.add_event(event, attributes)
        if error is not None:
            self._fail(span, error)
        span.end()

    def _fail(self, span: Any, error: BaseException) -> None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(self._trace.StatusCode.ERROR, _line(error))

    def on_worker_boot(self) -> None:
        """Make the tracer provider of this process."""
        self._provider.get()

    def on_worker_crash(self, crash: WorkerCrash) -> None:
        """Make the span that the dead worker could not end, and export it before this worker may die, too."""
        parent = self._extracted(crash.headers)
        creation = _span_context(self._trace, parent)
        span = self._start(
            "process", "CONSUMER", crash.queue or "(no message)", crash.task, attributes=_crash_attributes(crash),
            context=parent, start_time=_nanoseconds(crash.died_at_s - crash.ran_s),
            links=[self._trace.Link(creation)] if creation.is_valid else [],
        )  # fmt: skip
        exception = {"exception.type": crash.error_type, "exception.message": f"the worker {crash.reason}"}
        if crash.stack:
            exception["exception.stacktrace"] = crash.stack
        span.add_event("exception", exception, timestamp=_nanoseconds(crash.died_at_s))
        span.set_status(self._trace.StatusCode.ERROR, f"the worker {crash.reason}")
        span.end(end_time=_nanoseconds(crash.died_at_s))
        self._provider.flush(self._flush_timeout_s)

    def on_worker_shutdown(self) -> None:
        """Export what is not exported yet."""
        self._provider.flush(self._flush_timeout_s)
        self._provider.shut_down()

    def _extracted(self, headers: Mapping[str, str]) -> Any:
        """The OpenTelemetry context in the headers of a message, and nothing else."""
        carrier = {name: value for name, value in headers.items() if value.isascii()}
        return self._propagate.extract(carrier, context=self._context.Context())


def _span_context(trace: Any, context: Any) -> Any:
    return trace.get_current_span(context).get_span_context()


def _merged(headers: Mapping[str, str], carrier: Mapping[str, str]) -> Dict[str, str]:
    """The headers with those of the carrier. Baggage for which there is no room is left out."""
    baggage = ",".join(filter(None, (headers.get(_BAGGAGE), carrier.get(_BAGGAGE))))
    merged = {**headers, **carrier, **({_BAGGAGE: baggage} if baggage else {})}
    try:
        return dict(checked_headers(merged))
    except ConfigurationError:
        return {**headers, **{name: value for name, value in carrier.items() if name != _BAGGAGE}}


def _crash_attributes(crash: WorkerCrash) -> Dict[str, Any]:
    known: Dict[str, Any] = {
        "messaging.message.id": crash.message_id,
        "bizzmq.delivery": crash.delivery,
        "bizzmq.worker": crash.worker,
        "bizzmq.host": crash.host,
        "bizzmq.signal": crash.signal,
        "bizzmq.exit_code": crash.exit_code,
        "bizzmq.oom_killed": crash.oom_killed,
        "bizzmq.peak_memory_bytes": crash.peak_memory_bytes,
        "bizzmq.cpu_s": crash.cpu_s,
        "process.pid": crash.pid,
        "error.type": crash.error_type,
    }
    return {name: value for name, value in known.items() if value not in (None, "")}


def _nanoseconds(moment_s: float) -> int:
    return int(moment_s * 1e9)


def _line(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except Exception:  # noqa: BLE001 - an error that cannot be rendered is still an error
        return type(error).__name__
