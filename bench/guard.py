"""`python -m bench guard`: has a message become dearer? Compares counts, not times, with those in bench/guard.json.

Counted are bytecode instructions of BizzMQ's Python (see opcodes.py) and the commands that Redis runs, those inside
scripts included. Both are the same on every machine and under any load, so 5% more is a change of the code.
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
from bizzmq import BizzMQ, codec, ids
from bizzmq.claim_size import ClaimSize
from bizzmq.consumer import Consumer
from bizzmq.handler import Handler
from bizzmq.loop import ConsumerOptions
from bizzmq.record import Record
from bizzmq.stop import Stop

COMMITTED = Path(__file__).resolve().parent / "guard.json"
TOLERANCE = 0.05
QUEUE, MESSAGES, REPEATS = "bench", 300, 3
BODY = {"n": 1, "text": "x" * 100}


def version() -> str:
    """Each Python has instructions of its own, and so has each codec."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return python if codec.NAME == "json" else f"{python} {codec.NAME}"


def measure() -> dict[str, float]:
    """Counts a message: the least of some repeats, which is the one that no clock has bent."""
    with lab() as on, timeless():
        repeats = [once(on) for _ in range(REPEATS)]
    return {name: round(min(repeat[name] for repeat in repeats), 3) for name in repeats[0]}


@contextlib.contextmanager
def timeless() -> Iterator[None]:
    """Handlers take no time inside the block: how much a worker claims at once depends on nothing but their number."""
    observe, init = ClaimSize.observe, ClaimSize.__init__

    def patient(self: ClaimSize, *arguments: Any) -> None:
        init(self, *arguments)
        self.longest_s = math.inf

    ClaimSize.observe = lambda self, count, _elapsed_s: observe(self, count, 0.0)  # type: ignore[method-assign]
    ClaimSize.__init__ = patient  # type: ignore[method-assign]
    try:
        yield
    finally:
        ClaimSize.observe, ClaimSize.__init__ = observe, init  # type: ignore[method-assign]


def once(on: Lab) -> dict[str, float]:
    """Each way to publish and to consume."""
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
    return found


def costs(on: Lab, name: str, action: Callable[[], Any]) -> dict[str, float]:
    before = on.snapshot()
    instructions = counted(action)
    calls = on.snapshot().since(before)["calls"]
    return {f"{name}: instructions": instructions / MESSAGES, f"{name}: commands": sum(calls.values()) / MESSAGES}


def consume(on: Lab, prefetch: int) -> None:
    """A worker's loop in this thread, until the queue is empty."""
    broker, supervisor = broker_of(on.url), ids.supervisor_id()
    worker = ids.worker_id(supervisor, 0)
    broker.register(QUEUE, supervisor, 1, worker)
    options, stop = ConsumerOptions(prefetch=prefetch, burst=True), Stop()
    Consumer(broker, worker, [QUEUE], Handler(_nothing), stop, Record(), options).run()
    broker.evict(QUEUE, supervisor)
    stop.close()
    broker.connection.drop()


def _nothing(_body: Any) -> None:
    return


def grown(committed: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The counts that have grown by more than is tolerated, as ratios; what is new or gone does not count."""
    return {
        name: now[name] / old for name, old in committed.items() if name in now and now[name] > old * (1 + TOLERANCE)
    }


@click.command()
@click.option("--update", is_flag=True, help="Write this Python's counts into bench/guard.json.")
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
        click.echo(f"{name:42} {count:10,.2f}  committed {committed.get(name, 0):10,.2f}")
    worse = grown(committed, now)
    if worse:
        raise click.ClickException("dearer: " + ", ".join(f"{name} x {ratio:.2f}" for name, ratio in worse.items()))


if __name__ == "__main__":
    main()
