"""Confirmed publishing, and the checks of a queue after a failover."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Iterator

from redis.exceptions import RedisError

from bizzmq import MessageOptions, NotConfirmedError
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.load import repeated
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

UNSURE = "unsure"
"""The kind of a ledger event: published, but it is unknown whether a replica has it."""
_ON_A_REPLICA = MessageOptions(confirm="replicas:1")


class ConfirmedPublisher:
    """Publishes and records in the ledger which messages a replica has confirmed and which not."""

    def __init__(self, url: str, ledger: Ledger) -> None:
        self._publisher = Publisher(Broker(connect(url)))
        self._ledger = ledger

    def publish(self, *bodies: Any, queue: str = QUEUE) -> bool:
        """Publish; returns whether a replica has all messages."""
        try:
            ids, is_confirmed = self._publisher.publish(queue, bodies, _ON_A_REPLICA), True
        except NotConfirmedError as error:
            ids, is_confirmed = error.message_ids, False
        for message_id in ids:
            self._ledger.record("published" if is_confirmed else UNSURE, message_id)
        return is_confirmed

    def close(self) -> None:
        self._publisher.close()


@contextlib.contextmanager
def confirmed_load(scene: Scene, *bodies: Any) -> Iterator[None]:
    """Publish these bodies repeatedly, as one batch, during the block."""
    publisher = ConfirmedPublisher(scene.url, scene.ledger)
    try:
        with repeated(lambda: publisher.publish(*bodies)):
            yield
    finally:
        publisher.close()


def wait_for_runs(ledger: Ledger, runs: int = 30) -> None:
    """Wait until `runs` more runs have ended."""
    before = len(ledger.ends())
    ledger.wait_for(lambda ledger: len(ledger.ends()) >= before + runs, PATIENCE_S, f"{runs} more runs")


def back_after_s(ledger: Ledger, fault_s: float) -> float:
    """Seconds from the fault until a message that was published after it runs."""

    def first() -> float | None:
        fresh = {event.id for kind in ("published", UNSURE) for event in ledger.events(kind) if event.time_s > fault_s}
        return next((event.time_s for event in ledger.starts() if event.id in fresh and event.time_s > fault_s), None)

    at_s = eventually(first, PATIENCE_S, lambda: f"a new message to run; {ledger.totals()}")
    assert at_s is not None
    return at_s - fault_s


def settle(scene: Scene, *, extra_runs: int) -> None:
    """Wait until nothing is left to do; check G1 for confirmed messages, and G2, G3 and G4."""
    eventually_holds(lambda: invariants.check_at_rest(scene.redis, QUEUE), PATIENCE_S, "rest", ignoring=(RedisError,))
    invariants.check_one_place(scene.redis, QUEUE)
    invariants.check_nothing_stranded(scene.redis, QUEUE)
    unsure = {event.id for event in scene.ledger.events(UNSURE)}
    published = {*scene.ledger.published(), *(unsure & scene.ledger.handled())}
    scene.check_balance(published)
    invariants.check_duplicates(scene.ledger, extra_runs)


def at_stake(ledger: Ledger, fault_s: float) -> int:
    """The number of runs that a failover may repeat: current ones, and those whose ack may not be replicated yet."""
    now_s = time.monotonic()
    return sum(
        run.start.time_s <= now_s and (run.end is None or run.end.time_s >= fault_s - 1.0) for run in ledger.runs()
    )
