"""Metrics for Prometheus: what a pool has measured since it was started, and what Redis says of queues.

The library, which the extra `metrics` installs, is imported when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, List, Mapping, Sequence, Tuple

from bizzmq.metrics.columns import BOUNDS_S, CAUSES, CPU, DEATHS, MEMORY, OUTCOMES, RUN, WAIT

SHOWN_BOUNDS_S = (
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0,
)  # fmt: skip
"""The bounds of the histograms that Prometheus sees, seconds: some of those that are measured."""
MISSING = "/metrics needs prometheus_client: pip install prometheus_client (the extra `metrics`)"
_HISTOGRAMS = (
    (RUN, "bizzmq_message_run_seconds", "How long handlers ran."),
    (WAIT, "bizzmq_message_wait_seconds", "How long messages waited for their first delivery; a delay is part of it."),
    (CPU, "bizzmq_message_cpu_seconds", "Processor time of handlers."),
)
_STATES = ("waiting", "delayed", "processing", "dead_lettered")


@dataclass(frozen=True)
class MeasuredRow:
    """What the pool has measured of one task of a queue. `cells` are by the numbers of `columns`."""

    queue: str
    task: str
    cells: Sequence[float]


@dataclass(frozen=True)
class MeasuredQueue:
    """What Redis says of a queue.

    Attributes:
        messages: by state: `waiting`, `delayed`, `processing`, `dead_lettered`.
        oldest_s: how long ago the oldest waiting message was published; 0 if none waits.
        totals: what Redis has counted since the queue was created, by name; empty if that is not known.
    """

    messages: Mapping[str, int]
    oldest_s: float
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredPool:
    """A pool at one moment.

    Attributes:
        rows: what its workers have measured since it was started.
        queues: by name, those that Redis has told of.
        workers: by state, such as `running`; each state that a worker can have.
        target: how many workers it should have.
        is_ready: whether it can handle messages.
        is_redis_up: whether the janitor reaches Redis.
        started_at_s: seconds since the epoch.
        about: what it runs: `version`, `code`, `target`.
    """

    rows: Sequence[MeasuredRow]
    queues: Mapping[str, MeasuredQueue]
    workers: Mapping[str, int]
    target: int
    is_ready: bool
    is_redis_up: bool
    started_at_s: float
    about: Mapping[str, str]


def is_available() -> bool:
    """Whether the library is installed."""
    try:
        import prometheus_client  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return False
    return True


def render_pool(pool: MeasuredPool, accept: str = "") -> Tuple[bytes, str]:
    """The answer to a scrape of one pool, and its content type. Raises ImportError without the library.

    Args:
        accept: the header of this name, by which the format is chosen.
    """
    return _render([*_pool_families(pool), *_row_families(pool.rows), *_queue_families(pool.queues)], accept)


def render_queues(queues: Mapping[str, MeasuredQueue], accept: str = "") -> Tuple[bytes, str]:
    """The answer to a scrape of a program that sees queues, such as the dashboard. As `render_pool`."""
    return _render(_queue_families(queues), accept)


class _Collector:
    """What the library asks for."""

    def __init__(self, families: List[Any]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        return iter(self._families)


def _render(families: Iterable[Any], accept: str) -> Tuple[bytes, str]:
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra

    registry = CollectorRegistry()
    registry.register(_Collector([*families]))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _pool_families(pool: MeasuredPool) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily  # noqa: PLC0415 - an extra

    yield _gauge("bizzmq_pool_ready", "Whether the pool can handle messages.", float(pool.is_ready))
    yield _gauge("bizzmq_redis_up", "Whether the pool reaches Redis.", float(pool.is_redis_up))
    yield _gauge("bizzmq_pool_start_time_seconds", "When the pool was started, since the epoch.", pool.started_at_s)
    yield _gauge("bizzmq_workers_wanted", "How many workers the pool should have.", float(pool.target))
    workers = GaugeMetricFamily("bizzmq_workers", "Workers by what they do.", labels=["state"])
    for state, count in sorted(pool.workers.items()):
        workers.add_metric([state], count)
    yield workers
    yield InfoMetricFamily("bizzmq_pool", "What the pool runs.", value={**pool.about})


def _gauge(name: str, text: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - an extra

    return GaugeMetricFamily(name, text, value=value)


def _row_families(rows: Sequence[MeasuredRow]) -> Iterator[Any]:
    from prometheus_client.core import (  # noqa: PLC0415 - an extra
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    messages = CounterMetricFamily(
        "bizzmq_messages", "Attempts that have ended, by outcome.", labels=["queue", "task", "outcome"]
    )
    peaks = GaugeMetricFamily(
        "bizzmq_message_memory_peak_bytes", "The highest memory peak of a worker that grew while the task ran.",
        labels=["queue", "task"],
    )  # fmt: skip
    for row in rows:
        for index, outcome in enumerate(OUTCOMES):
            if row.cells[index]:
                messages.add_metric([row.queue, row.task, outcome], row.cells[index])
        if row.cells[MEMORY]:
            peaks.add_metric([row.queue, row.task], row.cells[MEMORY])
    yield messages
    yield peaks
    for at, name, text in _HISTOGRAMS:
        histogram = HistogramMetricFamily(name, text, labels=["queue", "task"])
        for row in rows:
            buckets = _buckets(row.cells, at)
            if buckets[-1][1]:
                histogram.add_metric([row.queue, row.task], buckets, row.cells[at])
        yield histogram
    deaths = CounterMetricFamily("bizzmq_worker_deaths", "Workers that have died, by cause.", labels=["cause"])
    for index, cause in enumerate(CAUSES):
        deaths.add_metric([cause], sum(row.cells[DEATHS + index] for row in rows))
    yield deaths


def _buckets(cells: Sequence[float], at: int) -> List[Tuple[str, float]]:
    """The counts up to each bound."""
    found, count = [], 0.0
    for index, bound_s in enumerate(BOUNDS_S):
        count += cells[at + 1 + index]
        if bound_s in SHOWN_BOUNDS_S:
            found.append((str(bound_s), count))
    return [*found, ("+Inf", count + cells[at + 1 + len(BOUNDS_S)])]


def _queue_families(queues: Mapping[str, MeasuredQueue]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - an extra

    messages = GaugeMetricFamily("bizzmq_queue_messages", "Messages of a queue by state.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "bizzmq_queue_oldest_age_seconds", "How long ago the oldest waiting message was published; 0 if none waits.",
        labels=["queue"],
    )  # fmt: skip
    totals = CounterMetricFamily(
        "bizzmq_queue_events", "What Redis has counted since the queue was created.", labels=["queue", "event"]
    )
    for name, queue in sorted(queues.items()):
        oldest.add_metric([name], queue.oldest_s)
        for state in _STATES:
            if state in queue.messages:
                messages.add_metric([name, state], queue.messages[state])
        for event, count in sorted(queue.totals.items()):
            totals.add_metric([name, event], count)
    yield messages
    yield oldest
    if totals.samples:
        yield totals


def queue_of_gauges(
    lengths: Sequence[int], since_s: float = 0.0, *, is_dead_letter_queue: bool = False
) -> MeasuredQueue:
    """What a queue's lengths say: waiting, delayed, processing, dead letters, and the age of the oldest in ms.

    Args:
        since_s: how long ago they were read.
    """
    waiting, delayed, processing, letters, oldest_ms = lengths
    oldest_s = oldest_ms / 1000 + since_s if waiting else 0.0
    messages = {"waiting": waiting, "delayed": delayed, "processing": processing}
    return MeasuredQueue(messages if is_dead_letter_queue else {**messages, "dead_lettered": letters}, oldest_s)
