"""`python -m bench guard`: the cost of a message, compared with bench/guard.json by counts, not times.

It counts the bytecode instructions of BizzMQ's Python (see opcodes.py) and the commands that Redis runs, including
those inside scripts. Both are the same on every machine and under any load, so 5% more is a change of the code.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import click

from bench.fair.lab import Lab, lab
from bench.fair.raw import broker_of
from bench.opcodes import counted
from bizzmq import App, BizzMQ
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.hooks import ActivityRecorder, ConsumerHooks
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.consumer.prefetch import AdaptivePrefetch
from bizzmq.metrics import meter
from bizzmq.metrics.table import MetricsTable, size_of
from bizzmq.protocol import ids, json_codec
from bizzmq.utils.stop_event import StopEvent

COMMITTED = Path(__file__).resolve().parent / "guard.json"
TOLERANCE = 0.05
QUEUE, MESSAGES, REPEATS = "bench", 300, 3
BODY = {"n": 1, "text": "x" * 100}


def version() -> str:
    """The Python version and the JSON codec, each of which has counts of its own."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return python if json_codec.NAME == "json" else f"{python} {json_codec.NAME}"


def measure() -> dict[str, float]:
    """The counts of a message: the minimum of several repeats, which no clock has influenced."""
    with lab() as on, timeless():
        repeats = [once(on) for _ in range(REPEATS)]
    return {name: round(min(repeat[name] for repeat in repeats), 3) for name in repeats[0]}


@contextlib.contextmanager
def timeless() -> Iterator[None]:
    """Handlers take no time inside the block, so the size of a claim depends only on their number."""
    observe, init = AdaptivePrefetch.observe, AdaptivePrefetch.__init__

    def patient(self: AdaptivePrefetch, *arguments: Any) -> None:
        init(self, *arguments)
        self.longest_s = math.inf

    AdaptivePrefetch.observe = lambda self, count, _elapsed_s: observe(self, count, 0.0)  # type: ignore[method-assign]
    AdaptivePrefetch.__init__ = patient  # type: ignore[method-assign]
    short_s, series_s = meter.SHORT_S, meter.SERIES_S
    meter.SHORT_S = meter.SERIES_S = math.inf  # while instructions are counted, all takes long
    try:
        yield
    finally:
        meter.SHORT_S, meter.SERIES_S = short_s, series_s
        AdaptivePrefetch.observe, AdaptivePrefetch.__init__ = observe, init  # type: ignore[method-assign]


def once(on: Lab) -> dict[str, float]:
    """Run each way to publish and to consume once."""
    on.empty()
    found: dict[str, float] = {}
    with BizzMQ(on.url) as mq:
        mq.create_queue(QUEUE)
        mq.publish_message_to_queue(QUEUE, BODY)
        consume(on, 1)

        def one_by_one() -> None:
            for _ in range(MESSAGES):
                mq.publish_message_to_queue(QUEUE, BODY)

        def at_once() -> None:
            mq.publish_messages_to_queue(QUEUE, [BODY] * MESSAGES)

        for name, publish, prefetch in (("single", one_by_one, 1), ("many", at_once, 64)):
            found.update(costs(on, f"publish, {name}", publish))
            found.update(costs(on, f"consume, claims of {prefetch}", lambda: consume(on, prefetch)))  # noqa: B023
    return {**found, **tasks(on)}


def tasks(on: Lab) -> dict[str, float]:
    """The same for a task with two annotated arguments, after as many earlier workers as above."""
    on.empty()
    app = App(on.url, queue=QUEUE)

    @app.task(name="guarded")
    def guarded(n: int, text: str) -> None:
        """Do nothing."""

    @app.task(name="guarded.result", result_ttl_s=60)
    def with_result(n: int, text: str) -> str:
        return text if n else ""

    arguments = (BODY["n"], BODY["text"])
    handler = Handler(app.dispatcher())
    guarded.publish(*arguments)
    consume(on, 1, handler)

    def one_by_one() -> None:
        for _ in range(MESSAGES):
            guarded.publish(*arguments)

    found = costs(on, "publish a task", one_by_one)
    consume(on, 1, handler)
    found.update(costs(on, "publish many tasks", lambda: guarded.publish_many([arguments] * MESSAGES)))
    found.update(costs(on, "consume, tasks of 64", lambda: consume(on, 64, handler)))
    with_result.publish_many([arguments] * MESSAGES)
    found.update(costs(on, "consume, tasks of 64, results kept", lambda: consume(on, 64, handler)))
    app.close()
    return found


def costs(on: Lab, name: str, action: Callable[[], Any]) -> dict[str, float]:
    before = on.snapshot()
    instructions = counted(action)
    calls = on.snapshot().since(before)["calls"]
    return {f"{name}: instructions": instructions / MESSAGES, f"{name}: commands": sum(calls.values()) / MESSAGES}


def consume(on: Lab, prefetch: int, handler: Handler | None = None) -> None:
    """Run a worker's loop in this thread until the queue is empty. The default handler does nothing."""
    broker, supervisor = broker_of(on.url), ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    broker.register(QUEUE, supervisor, worker)
    options, stop = ConsumerOptions(prefetch=prefetch, burst=True), StopEvent()
    Consumer(broker, worker, [QUEUE], handler or Handler(_nothing), stop, options, ConsumerHooks(Measured())).run()
    broker.unregister(QUEUE, supervisor)
    stop.close()
    broker.connection.drop()


class Measured(ActivityRecorder):
    """Measures as a pool does."""

    def __init__(self) -> None:
        self.metrics = MetricsTable(bytearray(size_of()))
        self.metrics.clock_offset_s = 1.0


def _nothing(_body: Any) -> None:
    return


def grown(committed: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The counts that have grown by more than the tolerance, as ratios. New and removed counts are ignored."""
    return {
        name: now[name] / old for name, old in committed.items() if name in now and now[name] > old * (1 + TOLERANCE)
    }


@click.command()
@click.option("--update", is_flag=True, help="Write the counts of this Python version to bench/guard.json.")
def main(update: bool) -> None:
    """Fail if a message costs over 5% more instructions or commands than bench/guard.json says."""
    stored = json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.exists() else {}
    now = measure()
    if update:
        stored[version()] = now
        COMMITTED.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    committed = stored.get(version())
    if committed is None:
        raise click.ClickException(f"no counts for Python {version()} in {COMMITTED.name}: write them with --update")
    for name, count in now.items():
        click.echo(f"{name:50} {count:10,.2f}  committed {committed.get(name, 0):10,.2f}")
    worse = grown(committed, now)
    if worse:
        raise click.ClickException("dearer: " + ", ".join(f"{name} x {ratio:.2f}" for name, ratio in worse.items()))


if __name__ == "__main__":
    main()
