"""Errors and transactions for Sentry."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Dict, Iterator, Mapping, Sequence, Tuple

from bizzmq.errors import ConfigurationError, RetryLater
from bizzmq.middleware.base import Middleware, Publication, WorkerCrash
from bizzmq.middleware.optional import Library
from bizzmq.properties import checked_headers
from bizzmq.validation import checks

if TYPE_CHECKING:
    from bizzmq.context import Context

_LIBRARY = Library("sentry_sdk", "sentry-sdk", "Sentry")
_TRACE, _BAGGAGE = "sentry-trace", "baggage"
_LOGGER = "bizzmq.consumer"
"""It logs each failed message. Sentry's integration of logging would report the same error once more."""


class Sentry(Middleware):
    """Reports messages that are dead-lettered or discarded, and crashes of workers, and makes transactions.

    Each delivery is a transaction with a scope of its own, so that no tag or breadcrumb reaches another message. It
    continues the trace of the publisher: `sentry-trace` and `baggage` travel in the headers. The errors of messages
    that will be retried, and of a drain, are not reported.

    Args:
        capture_retries: report the errors of messages that will be retried, too, except `RetryLater`.
        include_body: send the bodies of messages, too.
        flush_timeout_s: how long a worker waits at its end until its events are sent, seconds or a timedelta; the rest
            of the drain's time is a limit, too.
        options: as for `sentry_sdk.init`, which each worker calls behind the fork. Without options nothing is
            initialised: then do it yourself, as in programs that only publish.

    Raises:
        ConfigurationError: sentry-sdk is not installed, or an argument is invalid.
    """

    def __init__(
        self,
        *,
        capture_retries: bool = False,
        include_body: bool = False,
        flush_timeout_s: checks.Seconds = 10.0,
        **options: Any,
    ) -> None:
        self._sdk = _LIBRARY.load()
        self._utils, self._logging = _LIBRARY.load("utils"), _LIBRARY.load("integrations.logging")
        self._capture_retries = checks.flag("capture_retries", capture_retries)
        self._include_body = checks.flag("include_body", include_body)
        self._flush_timeout_s = checks.seconds("flush_timeout_s", flush_timeout_s)
        self._options = options
        self._publishing: ContextVar[Any] = ContextVar("bizzmq_sentry_publish", default=None)
        self._open: ContextVar[Tuple[ExitStack, Any] | None] = ContextVar("bizzmq_sentry_delivery", default=None)
        self._logging.ignore_logger(_LOGGER)

    def on_worker_boot(self) -> None:
        """Initialise the SDK of this process, if options were given."""
        if self._options:
            self._sdk.init(**self._options)

    def before_publish(self, publication: Publication) -> None:
        """Start a span in the current transaction, and put its context into the headers."""
        span = self._sdk.start_span(op="queue.publish", name=publication.queue)
        span.__enter__()
        self._publishing.set(span)
        trace, baggage = self._sdk.get_traceparent(), self._sdk.get_baggage()
        if trace and _TRACE not in publication.headers:
            publication.headers = _with_trace(publication.headers, trace, baggage)

    def after_publish(self, publication: Publication, message_ids: Sequence[str], error: BaseException | None) -> None:
        """End the span."""
        span = self._publishing.get()
        self._publishing.set(None)
        if span is None:
            return  # a body's own code has published meanwhile
        span.set_data("messaging.destination.name", publication.queue)
        if len(publication.bodies) == 1 and message_ids:
            span.set_data("messaging.message.id", message_ids[0])
        else:
            span.set_data("messaging.batch.message_count", len(publication.bodies))
        span.__exit__(*((None, None, None) if error is None else (type(error), error, error.__traceback__)))

    def before_handler(self, context: Context) -> None:
        """Start the transaction, in a scope of its own."""
        opened = ExitStack()
        opened.enter_context(self._scope(self._facts(context)))
        transaction = self._sdk.continue_trace(
            dict(context.headers), op="queue.process", name=context.task or context.queue, source="task"
        )
        transaction = opened.enter_context(self._sdk.start_transaction(transaction))
        transaction.set_data("messaging.message.id", context.id)
        transaction.set_data("messaging.destination.name", context.queue)
        transaction.set_data("messaging.message.retry.count", context.retry_count)
        self._open.set((opened, transaction))

    def _facts(self, context: Context) -> Dict[str, Any]:
        facts = {"id": context.id, "queue": context.queue, "task": context.task, "delivery": context.delivery}
        return {**facts, "body": context.body} if self._include_body else facts

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        """End the transaction of a message that has succeeded. That of a failed one ends with the decision."""
        if error is None:
            self._end("ok")

    def on_retry(self, context: Context, error: BaseException, delay_s: float) -> None:
        """End the transaction, and report the error if `capture_retries` is set."""
        if self._capture_retries and not isinstance(error, RetryLater):
            self._capture(error, context)
        self._end("aborted" if isinstance(error, RetryLater) else "internal_error")

    def on_dead_letter(
        self,
        context: Context,
        error: BaseException,
        record: Mapping[str, Any] | None,
    ) -> None:
        """Report the error, and end the transaction."""
        self._capture(error, context)
        self._end("internal_error")

    def on_release(self, context: Context, error: BaseException, delay_s: float) -> None:
        """End the transaction: the message has not failed."""
        self._end("aborted")

    def _end(self, status: str) -> None:
        delivery = self._open.get()
        if delivery is not None:  # else another middleware has refused the message before
            delivery[1].set_status(status)
            delivery[0].close()

    @contextmanager
    def _scope(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """A scope of its own for a delivery or a crash, with its queue and task as tags."""
        with self._sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.set_tag("bizzmq.queue", facts["queue"])
            scope.set_tag("bizzmq.task", facts["task"])
            scope.set_context("bizzmq", dict(facts))
            yield

    def _capture(self, error: BaseException, context: Context) -> None:
        if self._open.get() is None:
            with self._scope(self._facts(context)):
                self._send(error)
        else:
            self._send(error)

    def _send(self, error: BaseException) -> None:
        event, hint = self._utils.event_from_exception(
            (type(error), error, error.__traceback__),
            client_options=self._sdk.get_client().options,
            mechanism={"type": "bizzmq", "handled": False},
        )
        self._sdk.capture_event(event, hint=hint)

    def on_worker_crash(self, crash: WorkerCrash) -> None:
        """Report the crash, and send it before this worker may die, too."""
        facts = {name: value for name, value in vars(crash).items() if name != "headers"}
        with self._scope(facts):
            self._sdk.continue_trace(dict(crash.headers))
            self._sdk.capture_event(
                {
                    "level": "fatal",
                    "message": f"a worker {crash.reason}",
                    "fingerprint": ["bizzmq", crash.reason, crash.task or crash.queue],
                }
            )
        self._sdk.flush(self._flush_timeout_s)

    def on_worker_shutdown(self) -> None:
        """Send what is not sent yet."""
        self._sdk.flush(self._flush_timeout_s)


def _with_trace(headers: Mapping[str, str], trace: str, baggage: str | None) -> Dict[str, str]:
    """The headers with those of a trace. Baggage for which there is no room is left out."""
    merged = {**headers, _TRACE: trace}
    joined = ",".join(filter(None, (headers.get(_BAGGAGE), baggage)))
    try:
        return dict(checked_headers({**merged, _BAGGAGE: joined} if joined else merged))
    except ConfigurationError:
        return merged
