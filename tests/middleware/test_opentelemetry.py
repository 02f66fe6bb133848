"""Traces by the real SDK: from publishing to the outcome, through crashes and recycling."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any, Mapping, Sequence

import pytest

from bizzmq import App, BizzMQ, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions, Reject, RetryLater
from bizzmq.middleware.opentelemetry import OpenTelemetry
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

__all__ = ["home"]

NO_BACKOFF = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> Any:
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


@pytest.fixture
def traced(url: str, provider: TracerProvider) -> Any:
    """A client with the middleware, and the queue `q` with one retry at once."""
    with BizzMQ(url, middleware=[OpenTelemetry(provider)]) as mq:
        mq.create_queue("q", NO_BACKOFF)
        yield mq


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def events(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def facts(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


def test_publishing_and_handling_are_one_trace_by_the_conventions(traced: BizzMQ, exporter: Any) -> None:
    message_id = traced.publish_message_to_queue("q", 1)
    traced.consume_until_empty("q", print, timeout_s=30)

    (sent,), (processed,) = named(exporter, "publish q"), named(exporter, "process q")
    assert (sent.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert processed.context.trace_id == sent.context.trace_id
    assert processed.parent.span_id == sent.context.span_id
    assert facts(sent) == {
        "messaging.system": "bizzmq", "messaging.operation.name": "publish", "messaging.operation.type": "send",
        "messaging.destination.name": "q", "messaging.message.id": message_id,
    }  # fmt: skip
    assert facts(processed) == {
        "messaging.system": "bizzmq", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "q", "messaging.message.id": message_id, "bizzmq.delivery": 1,
        "bizzmq.retry_count": 0,
    }  # fmt: skip
    assert sent.status.status_code is processed.status.status_code is StatusCode.UNSET


def test_a_span_of_the_publisher_is_above_and_those_of_the_handler_are_below(
    traced: BizzMQ, exporter: Any, provider: Any
) -> None:
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("request"):
        traced.publish_message_to_queue("q", 1)

    def handle(_: Any) -> None:
        with tracer.start_as_current_span("query"):
            pass

    traced.consume_until_empty("q", handle, timeout_s=30)

    (request,), (sent,), (processed,), (query,) = (
        named(exporter, name) for name in ("request", "publish q", "process q", "query")
    )
    assert sent.parent.span_id == request.context.span_id
    assert query.parent.span_id == processed.context.span_id
    assert len({span.context.trace_id for span in exporter.get_finished_spans()}) == 1


def test_an_async_task_has_its_span_also_in_the_tasks_that_it_starts(
    url: str, mq: BizzMQ, exporter: Any, provider: Any
) -> None:
    app, tracer = App(url, middleware=[OpenTelemetry(provider)]), provider.get_tracer("test")

    @app.task(name="work", queue="jobs")
    async def work(n: int) -> None:
        async def child() -> None:
            with tracer.start_as_current_span(f"child of {n}"):
                await asyncio.sleep(0)

        await asyncio.gather(child(), child())

    app.create_queue("jobs")
    work.publish(1)
    work.publish(2)
    mq.consume_until_empty("jobs", app.dispatcher(), timeout_s=30)
    app.close()

    spans = {span.context.span_id: span for span in named(exporter, "process jobs")}
    for n, processed in enumerate(spans.values(), 1):
        children = named(exporter, f"child of {n}")
        assert [child.parent.span_id for child in children] == [processed.context.span_id] * 2
        assert facts(processed)["bizzmq.task"] == "work"
    assert len(spans) == 2


def test_each_delivery_has_a_span_that_ends_with_the_decision(traced: BizzMQ, exporter: Any) -> None:
    def fail(_: Any) -> None:
        raise ValueError("broken")

    traced.publish_message_to_queue("q", 1)
    traced.consume_until_empty("q", fail, timeout_s=30)

    first, second = named(exporter, "process q")
    assert first.parent.span_id == second.parent.span_id
    assert (events(first), events(second)) == (["exception", "retry"], ["exception", "dead_letter"])
    assert [facts(span)["bizzmq.retry_count"] for span in (first, second)] == [0, 1]
    assert [(span.status.status_code, span.status.description) for span in (first, second)] == [
        (StatusCode.ERROR, "broken")
    ] * 2
    assert facts(second)["error.type"] == "ValueError"
    assert first.events[1].attributes["bizzmq.delay_s"] == 0.0


def test_a_requested_retry_is_no_error_and_a_rejected_message_is_one(traced: BizzMQ, exporter: Any) -> None:
    def handle(_: Any, context: Any) -> None:
        if context.delivery == 1:
            raise RetryLater(0)
        raise Reject("no")

    traced.publish_message_to_queue("q", 1)
    traced.consume_until_empty("q", handle, timeout_s=30)

    first, second = named(exporter, "process q")
    assert (events(first), first.status.status_code) == (["retry"], StatusCode.UNSET)
    assert (events(second), second.status.status_code) == (["exception", "dead_letter"], StatusCode.ERROR)


def test_messages_of_one_call_share_its_span(traced: BizzMQ, exporter: Any) -> None:
    ids = traced.publish_messages_to_queue("q", range(3))
    traced.consume_until_empty("q", print, timeout_s=30)

    (sent,) = named(exporter, "publish q")
    processed = named(exporter, "process q")
    assert facts(sent)["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in facts(sent)
    assert [span.parent.span_id for span in processed] == [sent.context.span_id] * 3
    assert [facts(span)["messaging.message.id"] for span in processed] == ids


def test_baggage_reaches_its_own_message_only(traced: BizzMQ) -> None:
    seen: list[Any] = []

    def handle(body: Any) -> None:
        seen.append((body, dict(baggage.get_all())))
        context.attach(baggage.set_baggage("left", "behind"))

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    traced.publish_message_to_queue("q", "with")
    context.detach(token)
    traced.publish_message_to_queue("q", "without")
    traced.consume_until_empty("q", handle, timeout_s=30)

    assert seen == [("with", {"tenant": "acme"}), ("without", {})]
    assert dict(baggage.get_all()) == {}


def test_baggage_for_which_there_is_no_room_is_left_out(traced: BizzMQ) -> None:
    headers: list[Any] = []
    token = context.attach(baggage.set_baggage("large", "x" * 5000))
    traced.publish_message_to_queue("q", 1, MessageOptions(headers={"own": "y" * 4000}))
    context.detach(token)
    traced.consume_until_empty("q", lambda body, context: headers.append(dict(context.headers)), timeout_s=30)

    assert set(headers[0]) == {"own", "traceparent"}


def test_a_traceparent_of_the_publisher_stays_and_is_linked(traced: BizzMQ, exporter: Any) -> None:
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced.publish_message_to_queue("q", 1, MessageOptions(headers={"traceparent": own}))
    traced.consume_until_empty("q", print, timeout_s=30)

    (sent,), (processed,) = named(exporter, "publish q"), named(exporter, "process q")
    assert processed.parent.span_id == sent.links[0].context.span_id == 0xB7AD6B7169203331
    assert sent.context.trace_id != processed.context.trace_id


@pytest.mark.parametrize(
    "value", ["", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "00-\udcff-x-01", "ü" * 50]
)
def test_a_forged_context_is_no_context(url: str, exporter: Any, provider: Any, value: str) -> None:
    with BizzMQ(url) as plain, BizzMQ(url, middleware=[OpenTelemetry(provider)]) as mq:
        plain.create_queue("q", NO_BACKOFF)
        plain.publish_message_to_queue("q", 1, MessageOptions(headers={"traceparent": value, "baggage": value}))
        mq.consume_until_empty("q", print, timeout_s=30)

    (processed,) = named(exporter, "process q")
    assert processed.parent is None


def test_a_call_that_fails_ends_its_span_with_the_error(traced: BizzMQ, exporter: Any) -> None:
    with pytest.raises(QueueNotFoundError):
        traced.publish_message_to_queue("nowhere", 1)

    (sent,) = named(exporter, "publish nowhere")
    assert sent.status.status_code is StatusCode.ERROR
    assert facts(sent)["error.type"] == "QueueNotFoundError"


def test_what_is_not_sampled_by_the_publisher_is_not_sampled_by_the_worker(
    url: str, exporter: Any, provider: Any
) -> None:
    off = TracerProvider(sampler=ALWAYS_OFF)
    headers: list[Any] = []
    with BizzMQ(url, middleware=[OpenTelemetry(off)]) as publisher:
        publisher.create_queue("q", NO_BACKOFF)
        publisher.publish_message_to_queue("q", 1)
    with BizzMQ(url, middleware=[OpenTelemetry(provider)]) as worker:
        worker.consume_until_empty("q", lambda body, context: headers.append(dict(context.headers)), timeout_s=30)

    assert headers[0]["traceparent"].endswith(("-00", "-02"))
    assert exporter.get_finished_spans() == ()


def test_without_a_provider_the_global_one_is_used_and_costs_nothing(url: str, queue: str) -> None:
    with BizzMQ(url, middleware=[OpenTelemetry()]) as mq:
        mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, print, timeout_s=30)

        assert mq.stats(queue).acked == 1


@pytest.mark.parametrize("given", [3, "provider", object()], ids=["number", "text", "object"])
def test_something_else_than_a_provider_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="tracer_provider must be a TracerProvider, or a function"):
        OpenTelemetry(given)


def test_a_function_that_makes_no_provider_is_logged_and_loses_no_message(url: str, queue: str, caplog: Any) -> None:
    with BizzMQ(url, middleware=[OpenTelemetry(lambda: None)]) as mq:
        mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, print, timeout_s=30)

        assert mq.stats(queue).acked == 1
    assert "the function for tracer_provider returned None, which is no TracerProvider" in caplog.text


def test_a_forked_child_makes_a_provider_of_its_own(tmp_path: Any) -> None:
    made: list[int] = []

    def make() -> TracerProvider:
        made.append(os.getpid())
        return TracerProvider()

    middleware = OpenTelemetry(make)
    middleware.on_worker_boot()
    middleware.on_worker_boot()
    pid = os.fork()
    if not pid:
        middleware.on_worker_boot()
        (tmp_path / "made").write_text(json.dumps(made))
        os._exit(0)
    os.waitpid(pid, 0)

    assert made == [os.getpid()]
    assert json.loads((tmp_path / "made").read_text()) == [os.getpid(), pid]


APP = """
import os, time, bizzmq
from bizzmq.middleware.opentelemetry import OpenTelemetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

class ToFile(SpanExporter):
    def export(self, spans):
        with open(OUT, "a") as out:
            out.write("".join(span.to_json(indent=None) + "\\n" for span in spans))
        return SpanExportResult.SUCCESS

def provider():
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(ToFile(), schedule_delay_millis=600_000))
    return made

app = bizzmq.App(middleware=[OpenTelemetry(provider)])

@app.task(name="work", queue="q")
def work(context: bizzmq.Context, how: str) -> None:
    if how == "die" and context.delivery == 1:
        time.sleep(0.2)
        os.kill(os.getpid(), 9)
"""


def spans(home: Home) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.lines()]


def publish(url: str, provider: TracerProvider, calls: Sequence[str]) -> None:
    app = App(url, middleware=[OpenTelemetry(provider)])

    @app.task(name="work", queue="q")
    def work(how: str) -> None: ...

    for how in calls:
        work.publish(how)
    app.close()


def pool_of(home: Home, *args: str, **how: Any) -> Any:
    home.write(APP)
    return home.pool(*args, **{"handler": "app:app", "concurrency": 1, **how})


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_recycling_and_draining_lose_no_span(home: Home, provider: Any, preload: str) -> None:
    pool = pool_of(home, "--max-messages=3", f"--preload={preload}", concurrency=2)
    publish(home.url, provider, ["live"] * 20)
    home.handled(20)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    ids = [span["attributes"]["messaging.message.id"] for span in spans(home)]
    assert len(ids) == len(set(ids)) == 20
    assert "cut off" not in pool.log()


def test_a_crash_is_a_span_in_the_trace_of_its_message(home: Home, provider: Any, exporter: Any) -> None:
    pool = pool_of(home)
    publish(home.url, provider, ["die"])
    eventually(lambda: len(home.lines()) == 1, PATIENCE_S, pool.log)  # before anything else is exported
    home.handled(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    (sent,) = named(exporter, "publish q")
    crash, second = spans(home)
    assert {crash["context"]["trace_id"], second["context"]["trace_id"]} == {f"0x{sent.context.trace_id:032x}"}
    assert crash["parent_id"] == second["parent_id"] == f"0x{sent.context.span_id:016x}"
    assert crash["links"][0]["context"]["span_id"] == f"0x{sent.context.span_id:016x}"
    assert (crash["name"], crash["status"]) == (
        "process q", {"status_code": "ERROR", "description": "the worker was killed by SIGKILL"}
    )  # fmt: skip
    attributes = crash["attributes"]
    assert attributes["error.type"] == "WorkerCrashed"
    assert (attributes["bizzmq.task"], attributes["bizzmq.signal"], attributes["bizzmq.delivery"]) == (
        "work", "SIGKILL", 1
    )  # fmt: skip
    assert attributes["messaging.message.id"] == second["attributes"]["messaging.message.id"]
    assert crash["events"][0]["name"] == "exception"
    assert crash["start_time"] < crash["end_time"] <= second["start_time"]
    assert second["status"]["status_code"] == "UNSET"


def test_the_global_provider_stays_untouched() -> None:
    assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
