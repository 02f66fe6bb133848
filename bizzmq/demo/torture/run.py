"""`bizzmq demo --torture`: a pool under many kinds of faults for a minute, and the verdict afterwards."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator, Mapping

from bizzmq.admin import dead_letters
from bizzmq.broker.broker import open_broker
from bizzmq.client import BizzMQ
from bizzmq.demo.ledger import read_runs
from bizzmq.demo.live_output import LiveOutput
from bizzmq.demo.torture import plan
from bizzmq.demo.torture.faults import FaultInjector
from bizzmq.demo.torture.module import GeneratedModule
from bizzmq.demo.torture.plan import PlannedMessage
from bizzmq.demo.torture.pool import TorturePool
from bizzmq.demo.torture.verdict import MOST_PROBLEMS_SHOWN, TRIES, Evidence, Verdict, judge
from bizzmq.embedded import keeper
from bizzmq.queue import QueueOptions
from bizzmq.utils import clock, scratch_directory
from bizzmq.utils.standard_streams import show

QUEUE = "torture"
_WORKERS = 4
_RATE_HZ = 120.0
_TICK_S = 0.02
_PATIENCE_S = 90.0
"""How long a step may take before it counts as a hang, seconds. A queue's circuit breaker may pause it for a while."""
_GONE_S = 3.0
"""How long a worker that was just being forked may outlive the supervisor, seconds."""
_SHARED_DEAD_LETTERS = 100


class PoolTorture:
    """Publishes while it injects faults, waits until all messages are handled, drains the pool, and judges.

    Args:
        seconds: how long faults are injected.
        seed: determines the faults.
    """

    def __init__(self, seconds: float, seed: int) -> None:
        self._seconds, self._seed = seconds, seed
        self._rng = random.Random(seed)
        self._show = LiveOutput(seconds)
        self._published: dict[str, PlannedMessage] = {}
        self._good = 0
        self._reloaded_s = float("inf")
        self._problems: list[str] = []

    def run(self) -> int:
        """Run the torture. Returns 0 only if there is no problem. SIGTERM and SIGHUP end it and the pool early."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        with scratch_directory.directory("bizzmq-torture-") as name:
            directory = Path(name)
            ledger = directory / "ledger"
            ledger.mkdir()
            module = GeneratedModule(directory)
            module.write()
            url = f"embedded://{name}/server"
            with _server(directory / "server"), BizzMQ(url) as mq:
                mq.create_queue(QUEUE, QueueOptions(True, max_retries=TRIES - 1, retry_backoff_s=0.1))
                with TorturePool(url, QUEUE, _WORKERS, directory, ledger) as pool:
                    self._show.line("does", f"torture with seed {self._seed} for {self._seconds:g} s, pool {pool.pid}")
                    self._await(mq, pool, lambda: _has_begun(pool), "the pool has not started")
                    injector = FaultInjector(pool, module, ledger, self._show, self._seed)
                    self._inject_faults(mq, pool, injector)
                    self._finish(mq, pool, injector)
                    code = self._drain(pool)
                    verdict = judge(self._evidence(url, ledger, pool, module, injector))
                    verdict.problems[:0] = self._problems
                    if verdict.problems:
                        kept = Path(tempfile.gettempdir()) / f"bizzmq-torture-{self._seed}.log"
                        kept.write_text(pool.log_text(), encoding="utf-8")
                        verdict.problems.append(f"the pool's log is kept in {kept}")
        self._show_summary(verdict, code)
        return 1 if verdict.problems else 0

    def _inject_faults(self, mq: BizzMQ, pool: TorturePool, injector: FaultInjector) -> None:
        todo = deque(plan.actions(self._seed, self._seconds))
        begin_s = clock.monotonic()
        while pool.exit_code is None:
            elapsed_s = clock.monotonic() - begin_s
            while todo and elapsed_s >= todo[0].at_s:
                action = todo.popleft()
                if action.what == plan.PUBLISH:
                    self._publish_one(mq, action.detail)
                else:
                    injector.do(action)
            if elapsed_s >= self._seconds and not todo:
                return
            count = int(min(elapsed_s, self._seconds) * _RATE_HZ) - self._good
            self._publish(mq, [plan.harmless(self._rng) for _ in range(count)])
            self._good += max(0, count)
            self._read_log(mq, pool, "torture ")
            clock.sleep(_TICK_S)

    def _publish_one(self, mq: BizzMQ, body: Mapping[str, Any]) -> None:
        (message_id,) = self._publish(mq, [body])
        when = "always" if body["always"] else "once"
        about = body["behaviour"] if body["behaviour"] in ("litter", "grow") else f"{body['behaviour']}, {when}"
        self._show.injected(f"publish {about}", message_id)

    def _publish(self, mq: BizzMQ, bodies: list[Mapping[str, Any]]) -> list[str]:
        ids = mq.publish_messages_to_queue(QUEUE, bodies) if bodies else []
        self._published.update((i, PlannedMessage(body["behaviour"], body["always"])) for i, body in zip(ids, bodies))
        return ids

    def _read_log(self, mq: BizzMQ, pool: TorturePool, label: str) -> None:
        for event in pool.read_log():
            self._show.logged(event)
        stats = mq.stats(QUEUE)
        self._show.progress(label, stats.acked + stats.dead_lettered, len(self._published))

    def _finish(self, mq: BizzMQ, pool: TorturePool, injector: FaultInjector) -> None:
        """Wait until the last reload is complete and the queue is empty."""
        reloads = len([1 for event in pool.events if event["event"] == "reloaded"])
        injector.reload()

        def reloaded() -> bool:
            ends = [event["event"] for event in pool.events if event["event"] in ("reloaded", "reloading")]
            return ends.count("reloaded") > reloads and ends[-1] == "reloaded"

        def empty() -> bool:
            stats = mq.stats(QUEUE)
            return not stats.waiting and not stats.delayed and not stats.processing

        self._await(mq, pool, reloaded, "the last reload was not completed")
        self._reloaded_s = clock.monotonic()
        self._publish(mq, [plan.body_of("work") for _ in range(_WORKERS)])
        self._show.line("does", "nothing more: waiting until the queue is empty")
        self._await(mq, pool, empty, "the queue has not become empty")

    def _await(self, mq: BizzMQ, pool: TorturePool, holds: Callable[[], bool], fault: str) -> None:
        give_up_s = clock.monotonic() + _PATIENCE_S
        while not holds():
            if pool.exit_code is not None or clock.monotonic() > give_up_s:
                self._problems.append(fault)
                return
            self._read_log(mq, pool, "settling")
            clock.sleep(_TICK_S)

    def _drain(self, pool: TorturePool) -> int | None:
        """Drain the pool; returns its exit code. It must leave no process behind."""
        begin_s = clock.monotonic()
        if pool.exit_code is None:
            pool.signal(signal.SIGTERM)
        while pool.exit_code is None and clock.monotonic() - begin_s < _PATIENCE_S:
            clock.sleep(0.005)
        code = pool.exit_code
        self._show.line("does", f"drain: exit code {code}, {clock.monotonic() - begin_s:.2f} s after SIGTERM")
        ended_s = clock.monotonic()
        while pool.left() and clock.monotonic() - ended_s < _GONE_S:
            clock.sleep(0.005)
        pool.read_log()
        left = pool.left()
        self._problems += [f"{len(left)} processes are left: {left}"] if left else []
        self._problems += [f"the pool has ended with {code}"] if code != 0 else []
        self._problems += [f"not a line of the log: {line}" for line in pool.noise]
        return code

    def _evidence(
        self, url: str, ledger: Path, pool: TorturePool, module: GeneratedModule, injector: FaultInjector
    ) -> Evidence:
        with open_broker(url) as broker:
            letters = dead_letters.dead_letters(broker, QUEUE, 0, len(self._published) + _SHARED_DEAD_LETTERS)
        return Evidence(
            published=self._published,
            runs=read_runs(ledger),
            dead={letter.id: letter.error for letter in letters},
            killed=frozenset(injector.killed),
            deaths=[event for event in pool.events if event["event"] == "worker died"],
            broken=frozenset(module.broken),
            reloaded_s=self._reloaded_s,
            generation=module.generation,
        )

    def _show_summary(self, verdict: Verdict, code: int | None) -> None:
        self._show.table(dict(sorted(self._show.faults.items())))
        self._show.table(
            {
                "seed": str(self._seed),
                "published": len(self._published),
                "handled": verdict.handled,
                "dead-lettered": f"{verdict.dead_lettered} of {verdict.expected_dead_letters} that must be",
                "lost": verdict.lost,
                "handled twice": f"{verdict.twice}, by a kill between the handler's end and its ack",
                "interrupted by kills": verdict.interrupted,
                "pool's exit code": str(code),
                "problems": len(verdict.problems),
            }
        )
        for problem in verdict.problems[:MOST_PROBLEMS_SHOWN]:
            show(f"PROBLEM  {problem}")


def _has_begun(pool: TorturePool) -> bool:
    """Whether the pool handles signals; before that they would end it like any program."""
    return any(event["event"] == "pool started" for event in pool.events)


@contextmanager
def _server(directory: Path) -> Iterator[None]:
    """A context manager: at its end, the server in this directory has saved its data and ended."""
    try:
        yield
    finally:
        while keeper.is_locked(directory / keeper.KEEPER_LOCK):
            clock.sleep(_TICK_S)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
