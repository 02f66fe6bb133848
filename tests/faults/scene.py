"""The setting of a fault test: a queue, a publisher with a ledger, pools, and the invariants at the end."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Callable, Iterable

from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command, snapshot
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.gated_handler import Gate
from tests.support.figures import Figures

QUEUE = "q"
PATIENCE_S = 30.0
"""How long a condition may take that normally holds within a second: other tests may use the same processors."""
SOON_S = 4.0
"""At least one of a few repetitions takes less, on a busy machine too: it takes tenths of a second, and a wrong way of
ending or recovering takes five seconds, a lease or a drain timeout."""


class Scene:
    """One server with the queue `q` and its dead-letter queue.

    Attributes:
        mq: the publisher. Failed messages are retried at once.
        redis: a client that reads the stored data without the library.
        figures: the measurements of the test.
    """

    def __init__(
        self,
        url: str,
        redis: Redis,
        ledger: Ledger,
        start_pool: Callable[..., Pool],
        directory: Path,
        figures: Figures,
    ) -> None:
        self.url, self.redis, self.ledger, self.figures = url, redis, ledger, figures
        self._start_pool = start_pool
        self._directory = directory
        self._gates = 0
        self.mq = BizzMQ(url)
        self.mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0))

    def close(self) -> None:
        self.mq.close()

    def publish(self, *bodies: Any, queue: str = QUEUE, **options: Any) -> list[str]:
        """Publish and record the ids in the ledger; the keywords are MessageOptions."""
        ids = self.mq.publish_messages_to_queue(queue, bodies, MessageOptions(**options))
        self.ledger.record_published(*ids)
        return ids

    def publish_one(self, body: Any, **options: Any) -> str:
        return self.publish(body, **options)[0]

    def gate(self) -> Gate:
        """A new gate for one message of a pool with the gated handler."""
        self._gates += 1
        return Gate(self._directory / f"gate-{self._gates}")

    def pool(self, *args: str, ready: bool = True, url: str | None = None, **options: Any) -> Pool:
        """Start a pool with these command-line arguments; `options` are those of Pool."""
        pool = self._start_pool(url or self.url, args=args, **options)
        if ready:
            pool.wait_ready()
        return pool

    def registered(self) -> dict[str, str]:
        """Worker id -> supervisor id, of all pools on this queue."""
        return snapshot(self.redis, QUEUE)[0].workers

    def held(self) -> list[str]:
        """The ids held by workers, for each worker the oldest first."""
        return [i for ids in snapshot(self.redis, QUEUE)[0].processing.values() for i in reversed(ids)]

    def waiting(self) -> list[str]:
        """The waiting ids, the next one first."""
        return snapshot(self.redis, QUEUE)[0].waiting[::-1]

    def totals(self) -> dict[str, int]:
        """The totals of the queue so far, without those that are zero."""
        counts: dict[str, str] = command(self.redis, "HGETALL", Keys(QUEUE).stats)
        return {name: int(count) for name, count in counts.items()}

    def settle(self, *, dead_lettered: int = 0, extra_runs: int = 0, timeout_s: float = PATIENCE_S) -> None:
        """Wait until nothing is left to do; check G2 in the meantime, and G1, G3 and G4 at the end.

        `extra_runs` bounds the runs beyond the first of each message, for any cause.
        """

        def nothing_is_left() -> None:
            try:
                invariants.check_one_place(self.redis, QUEUE)
            except AssertionError as error:
                raise RuntimeError("an invariant was broken on the way") from error
            invariants.check_at_rest(self.redis, QUEUE, dead_lettered)

        eventually_holds(nothing_is_left, timeout_s, "the queue to be at rest")
        invariants.check_nothing_stranded(self.redis, QUEUE)
        self.check_balance(self.ledger.published())
        invariants.check_duplicates(self.ledger, extra_runs)

    def check_stored(self) -> None:
        """Check G1, G2 and G4, at any moment."""
        invariants.check_one_place(self.redis, QUEUE)
        invariants.check_nothing_stranded(self.redis, QUEUE)
        self.check_balance(self.ledger.published())

    def check_balance(self, published: Iterable[str]) -> None:
        """Check G1 for these messages, which are all there are; report lost and left messages to the matrix."""
        found = invariants.balance(self.redis, QUEUE, published, self.ledger.handled)
        self.figures.lost(len(found.lost))
        self.figures.left(found.left)
        invariants.check_nothing_lost(found, QUEUE)

    def runs_again(self, since_s: float, *ids: str) -> None:
        """Wait until one of these messages, or any message, starts to run; record that as the recovery time."""

        def first() -> float | None:
            wanted = (event for event in self.ledger.starts() if not ids or event.id in ids)
            return next((event.time_s for event in wanted if event.time_s > since_s), None)

        at_s = eventually(first, PATIENCE_S, lambda: f"a message to run again; {self.ledger.totals()}")
        assert at_s is not None
        self.figures.recovered(at_s - since_s)

    def works_again(self, since_s: float, condition: Callable[[], object]) -> None:
        """Wait for this condition; record that as the recovery time."""
        eventually(condition, PATIENCE_S, lambda: f"recovery; {self.ledger.totals()}")
        self.figures.recovered(time.monotonic() - since_s)

    def retire(self, *pools: Pool, tracebacks: int = 0) -> None:
        """Check G6 and G8: drained pools exit with 0 and leave no process, no registration and no traceback."""
        for pool in pools:
            pool.signal(signal.SIGTERM)
        for pool in pools:
            self.gone(pool, tracebacks=tracebacks)

    def gone(self, pool: Pool, code: int = 0, *, tracebacks: int = 0, timeout_s: float = PATIENCE_S) -> None:
        """Wait for a pool that is draining; check that it leaves nothing behind."""
        assert pool.wait(timeout_s) == code, pool.log()
        pool.assert_no_process_left()
        invariants.check_log(pool.log(), tracebacks=tracebacks)
        views = snapshot(self.redis, QUEUE)
        ours = [name for view in views for name in view.supervisors if f":{pool.supervisor_pid}:" in name]
        assert not ours, f"still registered: {ours}"
        assert not [name for name in views[0].workers.values() if f":{pool.supervisor_pid}:" in name]


def log_says(pool: Pool, text: str, times: int = 1, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the pool's log contains this text `times` times."""
    eventually(lambda: pool.log().count(text) >= times, timeout_s, lambda: f"{text!r} in\n{pool.log()}")
