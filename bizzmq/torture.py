"""`bizzmq demo --torture`: a minute of everything that can happen to a pool, and the balance afterwards."""

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

from bizzmq import census, clock, embedded_keeper
from bizzmq import torture_plan as plan
from bizzmq.cli_support import open_broker
from bizzmq.client import BizzMQ
from bizzmq.demo_ledger import read_runs
from bizzmq.queue import QueueOptions
from bizzmq.streams import show
from bizzmq.torture_attack import Attack
from bizzmq.torture_balance import MOST_FAULTS_SHOWN, TRIES, Evidence, Verdict, judge
from bizzmq.torture_module import Module
from bizzmq.torture_plan import Planned
from bizzmq.torture_pool import TorturePool
from bizzmq.torture_show import Show

QUEUE = "torture"
_WORKERS = 4
_RATE_HZ = 120.0
_TICK_S = 0.02
_PATIENCE_S = 90.0
"""How long a thing may take before it is called a hang. A queue's circuit breaker may pause it for a while."""
_GONE_S = 3.0
"""How long after the supervisor a worker that was just being forked may notice that nobody wants it."""
_SHARED_DEAD_LETTERS = 100


class Torture:
    """Publishes and does its worst meanwhile, then waits until all is handled, drains the pool, and judges."""

    def __init__(self, seconds: float, seed: int) -> None:
        self._seconds, self._seed = seconds, seed
        self._rng = random.Random(seed)
        self._show = Show(seconds)
        self._published: dict[str, Planned] = {}
        self._good = 0
        self._reloaded_s = float("inf")
        self._faults: list[str] = []

    def run(self) -> int:
        """Returns 0 only if everything holds. SIGTERM and SIGHUP end it early, and the pool with it."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
        with tempfile.TemporaryDirectory(prefix="bizzmq-torture-") as name:
            directory = Path(name)
            ledger = directory / "ledger"
            ledger.mkdir()
            module = Module(directory)
            module.write()
            url = f"embedded://{name}/server"
            with _server(directory / "server"), BizzMQ(url) as mq:
                mq.create_queue(QUEUE, QueueOptions(True, max_retries=TRIES - 1, retry_backoff_s=0.1))
                with TorturePool(url, QUEUE, _WORKERS, directory, ledger) as pool:
                    self._show.line("does", f"torture with seed {self._seed} for {self._seconds:g} s, pool {pool.pid}")
                    self._await(mq, pool, lambda: _has_begun(pool), "the pool has not started")
                    attack = Attack(pool, module, ledger, self._show, self._seed)
                    self._torment(mq, pool, attack)
                    self._settle(mq, pool, attack)
                    code = self._drain(pool)
                    verdict = judge(self._evidence(url, ledger, pool, module, attack))
                    verdict.faults[:0] = self._faults
                    if verdict.faults:
                        kept = Path(tempfile.gettempdir()) / f"bizzmq-torture-{self._seed}.log"
                        kept.write_text(pool.log_text(), encoding="utf-8")
                        verdict.faults.append(f"the pool's log is kept in {kept}")
        self._sum_up(verdict, code)
        return 1 if verdict.faults else 0

    def _torment(self, mq: BizzMQ, pool: TorturePool, attack: Attack) -> None:
        todo = deque(plan.actions(self._seed, self._seconds))
        begin_s = clock.monotonic()
        while pool.exit_code is None:
            elapsed_s = clock.monotonic() - begin_s
            while todo and elapsed_s >= todo[0].at_s:
                action = todo.popleft()
                if action.what == plan.PUBLISH:
                    self._publish_one(mq, action.detail)
                else:
                    attack.do(action)
            if elapsed_s >= self._seconds and not todo:
                return
            count = int(min(elapsed_s, self._seconds) * _RATE_HZ) - self._good
            self._publish(mq, [plan.harmless(self._rng) for _ in range(count)])
            self._good += max(0, count)
            self._listen(mq, pool, "torture ")
            clock.sleep(_TICK_S)

    def _publish_one(self, mq: BizzMQ, body: Mapping[str, Any]) -> None:
        (message_id,) = self._publish(mq, [body])
        when = "always" if body["always"] else "once"
        about = body["deed"] if body["deed"] in ("litter", "grow") else f"{body['deed']}, {when}"
        self._show.did(f"publish {about}", message_id)

    def _publish(self, mq: BizzMQ, bodies: list[Mapping[str, Any]]) -> list[str]:
        ids = mq.publish_messages_to_queue(QUEUE, bodies) if bodies else []
        self._published.update((i, Planned(body["deed"], body["always"])) for i, body in zip(ids, bodies))
        return ids

    def _listen(self, mq: BizzMQ, pool: TorturePool, label: str) -> None:
        for event in pool.read_log():
            self._show.heard(event)
        stats = mq.stats(QUEUE)
        self._show.progress(label, stats.acked + stats.dead_lettered, len(self._published))

    def _settle(self, mq: BizzMQ, pool: TorturePool, attack: Attack) -> None:
        """The last reload has to come to its end, and the queue has to become empty."""
        reloads = len([1 for event in pool.events if event["event"] == "reloaded"])
        attack.reload()

        def reloaded() -> bool:
            ends = [event["event"] for event in pool.events if event["event"] in ("reloaded", "reloading")]
            return ends.count("reloaded") > reloads and ends[-1] == "reloaded"

        def empty() -> bool:
            stats = mq.stats(QUEUE)
            return not stats.waiting and not stats.delayed and not stats.processing

        self._await(mq, pool, reloaded, "the last reload has not come to its end")
        self._reloaded_s = clock.monotonic()
        self._publish(mq, [plan.body_of("work") for _ in range(_WORKERS)])
        self._show.line("does", "nothing more: waiting until the queue is empty")
        self._await(mq, pool, empty, "the queue has not become empty")

    def _await(self, mq: BizzMQ, pool: TorturePool, holds: Callable[[], bool], fault: str) -> None:
        give_up_s = clock.monotonic() + _PATIENCE_S
        while not holds():
            if pool.exit_code is not None or clock.monotonic() > give_up_s:
                self._faults.append(fault)
                return
            self._listen(mq, pool, "settling")
            clock.sleep(_TICK_S)

    def _drain(self, pool: TorturePool) -> int | None:
        """The exit code. Nothing of the pool may be left after it."""
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
        self._faults += [f"{len(left)} processes are left: {left}"] if left else []
        self._faults += [f"the pool has ended with {code}"] if code != 0 else []
        self._faults += [f"not a line of the log: {line}" for line in pool.noise]
        return code

    def _evidence(self, url: str, ledger: Path, pool: TorturePool, module: Module, attack: Attack) -> Evidence:
        with open_broker(url) as broker:
            letters = census.dead_letters(broker, QUEUE, 0, len(self._published) + _SHARED_DEAD_LETTERS)
        return Evidence(
            published=self._published,
            runs=read_runs(ledger),
            dead={letter.id: letter.error for letter in letters},
            killed=frozenset(attack.killed),
            deaths=[event for event in pool.events if event["event"] == "worker died"],
            broken=frozenset(module.broken),
            reloaded_s=self._reloaded_s,
            generation=module.generation,
        )

    def _sum_up(self, verdict: Verdict, code: int | None) -> None:
        self._show.table(dict(sorted(self._show.faults.items())))
        self._show.table(
            {
                "seed": str(self._seed),
                "published": len(self._published),
                "handled": verdict.handled,
                "dead-lettered": f"{verdict.buried} of {verdict.planned_dead} that had to be",
                "lost": verdict.lost,
                "handled twice": f"{verdict.twice}, by a kill between the handler's end and its ack",
                "cut off by a kill": verdict.interrupted,
                "pool's exit code": str(code),
                "faults": len(verdict.faults),
            }
        )
        for fault in verdict.faults[:MOST_FAULTS_SHOWN]:
            show(f"FAULT  {fault}")


def _has_begun(pool: TorturePool) -> bool:
    """Whether it listens to signals; before that they would end it, as they would any program."""
    return any(event["event"] == "pool started" for event in pool.events)


@contextmanager
def _server(directory: Path) -> Iterator[None]:
    """When the block is left, the server in this directory has written everything down and is gone."""
    try:
        yield
    finally:
        while embedded_keeper.is_locked(directory / embedded_keeper.KEEPER_LOCK):
            clock.sleep(_TICK_S)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
