"""The table of the script of alerts. It changes nothing that messages depend on."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq.broker.broker import Broker
from bizzmq.errors import QueueNotFoundError
from tests.scripts.containers import NO_QUEUE, Containers
from tests.scripts.moves import QUEUE, Move, held

BUSY = held("m1", waiting=("m2",))


def noting(before: bytes, after: bytes, stored: bytes = b"") -> Callable[[Broker], Any]:
    """Change the note about an alert, of which `stored` is noted; returns the result, and the note afterwards."""

    def call(broker: Broker) -> Any:
        if stored:
            broker.connection.execute("HSET", broker.keys(QUEUE).alerts, "no-worker", stored)
        try:
            is_done = broker.change_alert(QUEUE, "no-worker", before, after)
        except QueueNotFoundError:
            return None
        return is_done, broker.connection.execute("HGET", broker.keys(QUEUE).alerts, "no-worker")

    return call


ROWS = [
    Move("change_alert", "notes that an alert begins", BUSY, noting(b"", b"1"), (True, b"1"), BUSY),
    Move("change_alert", "changes the note that was read", BUSY, noting(b"1", b"2", b"1"), (True, b"2"), BUSY),
    Move("change_alert", "forgets the note that was read", BUSY, noting(b"1", b"", b"1"), (True, None), BUSY),
    Move("change_alert", "not the note of another watcher", BUSY, noting(b"1", b"2", b"3"), (False, b"3"), BUSY),
    Move("change_alert", "not where another watcher has noted something", BUSY, noting(b"", b"2", b"3"), (False, b"3"),
         BUSY),
    Move("change_alert", "what is noted already counts as done", BUSY, noting(b"1", b"2", b"2"), (True, b"2"), BUSY),
    Move("change_alert", "what is forgotten already counts as done", BUSY, noting(b"1", b""), (True, None), BUSY),
    Move("change_alert", "no such queue", NO_QUEUE, noting(b"", b"1"), None, NO_QUEUE),
    Move("change_alert", "a queue without messages", Containers(), noting(b"", b"1"), (True, b"1"), Containers()),
]  # fmt: skip
