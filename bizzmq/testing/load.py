"""A publisher under faults: messages at a constant rate into some queues, also while the servers are unavailable."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Iterator, Sequence

from bizzmq.client import BizzMQ
from bizzmq.errors import BizzMQError, BrokerUnavailableError, NotConfirmedError
from bizzmq.message import MessageOptions
from bizzmq.testing.ledger import Ledger

UNSURE = "unsure"
"""The kind of a ledger event: published, but not confirmed as requested, so a failover may lose the message."""
_TICK_S = 0.02
_BATCH = 100
_STOP_S = 60.0


class Load:
    """Publishes in a thread of its own and records in the ledger what it has published.

    Parameters: `bodies` are published in turn, to the queues in turn; `confirm` as for MessageOptions.

    Attributes:
        published: how many publishes have returned.
        doubtful: how many publishes failed, so that it is unknown whether the message is stored.
    """

    def __init__(
        self, url: str, queues: Sequence[str], ledger: Ledger, bodies: Sequence[Any], rate_hz: float, confirm: str = ""
    ) -> None:
        self._mq = BizzMQ(url)
        self._queues: Iterator[str] = itertools.cycle(queues)
        self._bodies = itertools.cycle(bodies)
        self._ledger, self._rate_hz, self._options = ledger, rate_hz, MessageOptions(confirm=confirm)
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.published = 0
        self.doubtful = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop publishing; returns when the last publish has ended. Raises any error other than an outage."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
            assert not self._thread.is_alive(), "a publish hangs"
        self._mq.close()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # `stop` waits for the last publish

    def _run(self) -> None:
        try:
            begin_s, sent = time.monotonic(), 0
            while not self._over.wait(_TICK_S):
                due = min(_BATCH, int((time.monotonic() - begin_s) * self._rate_hz) - sent)
                sent += max(0, due)
                if due > 0:
                    self._publish(list(itertools.islice(self._bodies, due)))
        except BaseException as error:  # noqa: BLE001 - it is raised in `stop`
            self._error = error

    def _publish(self, bodies: Sequence[Any]) -> None:
        """Publish one batch into one queue."""
        try:
            ids = self._mq.publish_messages_to_queue(next(self._queues), bodies, self._options)
            self._ledger.record_published(*ids)
            self.published += len(ids)
        except NotConfirmedError as error:
            for message_id in error.message_ids:
                self._ledger.record(UNSURE, message_id)
        except BrokerUnavailableError:
            self.doubtful += len(bodies)
        except BizzMQError as error:
            raise AssertionError(f"publishing failed, though the servers are there: {error}") from error
