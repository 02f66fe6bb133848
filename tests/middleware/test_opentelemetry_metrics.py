"""Metrics by the real SDK: outcomes, run and wait times, and workers that are recycled."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import Any

import pytest

from bizzmq import App, BizzMQ, ConfigurationError, MessageOptions, QueueOptions, Reject
from bizzmq.middleware.base import WorkerCrash
from bizzmq.middleware.opentelemetry_metrics import OpenTelemetryMetrics
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

__all__ = ["home"]


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    data = reader.get_metrics_data()
    found = data.resource_metrics if data is not None else ()
    metrics = [metric for one in found for scope in one.scope_metrics for metric in scope.metrics]
    return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


def outcomes(reader: InMemoryMetricReader) -> Counter[str]:
    found: Counter[str] = Counter()
    for point in points(reader, "bizzmq.messages"):
        found[point.attributes["bizzmq.outcome"]] += point.value
    return found


def test_outcomes_and_times(url: str) -> None:
    reader = InMemoryMetricReader()

    def handle(body: Any) -> None:
        if body == "fail":
            raise ValueError
        if body == "reject":
            raise Reject("bad")

    with BizzMQ(url, middleware=[OpenTelemetryMetrics(MeterProvider([reader]))]) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0))
        mq.publish_messages_to_queue("q", ["ok", "ok", "fail", "reject"], MessageOptions())
        mq.consume_until_empty("q", handle, timeout_s=60)

    assert outcomes(reader) == {"succeeded": 2, "retried": 1, "dead_lettered": 2}
    runs = points(reader, "messaging.process.duration")
    assert sum(point.count for point in runs) == 5
    assert {point.attributes.get("error.type") for point in runs} == {None, "ValueError", "Reject"}
    assert {point.attributes["messaging.destination.name"] for point in runs} == {"q"}
    waits = points(reader, "bizzmq.message.wait")
    assert sum(point.count for point in waits) == 4, "a second delivery has waited for its retry"


def test_a_crash_counts_and_names_of_tasks_are_bounded() -> None:
    reader = InMemoryMetricReader()
    middleware = OpenTelemetryMetrics(MeterProvider([reader]))
    for number in range(150):
        middleware.on_worker_crash(WorkerCrash("was killed", "w", 0, 1, "h", 1.0, f"m{number}", "q", f"task-{number}"))
    middleware.on_worker_crash(WorkerCrash("hung", "w", 0, 1, "h", 1.0, "m", "q", error_type="MessageTimeout"))
    middleware.on_worker_crash(WorkerCrash("left", "w", 0, 1, "h", 1.0))

    assert outcomes(reader) == {"crashed": 150, "killed": 1}
    tasks = {point.attributes.get("bizzmq.task") for point in points(reader, "bizzmq.messages")}
    assert len(tasks - {None}) == 101
    assert "other" in tasks


@pytest.mark.parametrize("given", [1, "x", object()])
def test_a_wrong_provider_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="a MeterProvider, or a function"):
        OpenTelemetryMetrics(given)
    with pytest.raises(ConfigurationError, match="which is no MeterProvider"):
        OpenTelemetryMetrics(lambda: given).on_worker_boot()


METERED = """
import json
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bizzmq import App
from bizzmq.middleware.opentelemetry_metrics import OpenTelemetryMetrics

class Provider(MeterProvider):
    def __init__(self):
        self.reader = InMemoryMetricReader()
        super().__init__([self.reader])

    def force_flush(self, timeout_millis=10_000):
        for one in self.reader.get_metrics_data().resource_metrics:
            for scope in one.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "bizzmq.messages":
                        for point in metric.data.data_points:
                            say(json.dumps([point.attributes["bizzmq.outcome"], point.value]))
        return True

app = App(middleware=[OpenTelemetryMetrics(Provider)])

@app.task(queue="q")
def work(n: int) -> None:
    pass
"""


def test_nothing_is_lost_when_workers_are_recycled_and_the_pool_drains(home: Home) -> None:
    home.write(METERED)
    pool = home.pool("--max-messages=3", handler="app:app", concurrency=2)
    app = App(redis_url=home.url)

    @app.task(queue="q", name="app.work")
    def work(n: int) -> None: ...

    work.publish_many([{"n": number} for number in range(20)])
    home.handled(20)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    exported = [json.loads(line) for line in home.lines()]
    assert {outcome for outcome, _ in exported} == {"succeeded"}
    assert sum(count for _, count in exported) == 20
    assert len(exported) >= 7, "each worker has exported what it had"
