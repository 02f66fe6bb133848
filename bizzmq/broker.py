"""One method per transition. Whoever calls has retries and logging; here is only what Redis is asked."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

from bizzmq.connections import AnyConnection
from bizzmq.errors import BrokerReplyError, LeaseLostError
from bizzmq.foreign import NoScriptError
from bizzmq.intake import Intake
from bizzmq.registry import Death, Requeued
from bizzmq.store import grave, owned

__all__ = ["BATCH_LIMIT", "Broker", "Claimed", "Death", "Requeued"]

BATCH_LIMIT = 100
"""Messages that one script may touch, so that no script holds Redis for more than a few milliseconds."""


class Claimed(NamedTuple):
    """What a claim returned: everything that the worker holds now, oldest first.

    Attributes:
        entries: (id, envelope, attempts or None) each.
        due_s: seconds until a delayed message is due; None if there is none. Only for no entries.
    """

    entries: Sequence[tuple[bytes, bytes, bytes | None]]
    due_s: float | None = None


class Broker(Intake):
    """All transitions of all queues over one connection."""

    def __init__(self, connection: AnyConnection) -> None:
        super().__init__(connection)
        self._claims: dict[tuple[str, str], tuple[Any, ...]] = {}  # commands made once: this is asked most often
        self._whole_seconds = False  # Redis 5 blocks for whole seconds only

    def claim(self, queue: str, worker: str, want: int, finished: Sequence[Any] = ()) -> Claimed:
        """Ack what is finished (oldest first), then hold up to `want` messages and return all that are held."""
        command = self._claims.get((queue, worker)) or self._claim_command(queue, worker)
        try:
            reply = self.connection.execute_plain((*command, f"{want}", *finished))
        except NoScriptError:
            reply = self.run("claim", command[3:-1], worker, want, *finished)
        status = reply[0]
        if status == -1:
            raise LeaseLostError(queue, worker)
        if status == 0:
            return Claimed((), None if reply[1] < 0 else reply[1] / 1000)
        _, ids, envelopes, attempts = reply
        if len(ids) == 1:
            return Claimed([(ids[0], envelopes[0], attempts[0] if attempts else None)])
        counts = attempts or [None] * len(ids)
        return Claimed(list(zip(reversed(ids), reversed(envelopes), reversed(counts))))

    def _claim_command(self, queue: str, worker: str) -> tuple[Any, ...]:
        k = self.keys(queue)
        own = (k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed)
        key_names = (*own, k.messages, k.attempts, k.wake, k.stats)
        command = self._claims[queue, worker] = (*self.called("claim", key_names), worker)
        return command

    def retry(self, queue: str, worker: str, message_id: str, seen: str, counted: str, delay_ms: int) -> bool:
        """Put a failed message back; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed]
        reply = self.run(
            "retry", [*key_names, k.attempts, k.wake, k.stats], worker, message_id, seen, counted, delay_ms
        )
        return owned(reply, queue, worker) == 1

    def dead_letter(self, queue: str, worker: str, message_id: str | bytes, seen: str | bytes, record: bytes) -> bool:
        """Keep a message in the dead-letter queue; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats, *grave(k)]
        reply = self.run("dead_letter", key_names, worker, message_id, seen, record)
        return owned(reply, queue, worker) == 1

    def discard(self, queue: str, worker: str, message_id: str, seen: str) -> bool:
        """Forget a message that is not to be tried again; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats]
        return owned(self.run("discard", key_names, worker, message_id, seen), queue, worker) == 1

    def release(
        self, queue: str, worker: str, number: int, message_ids: Sequence[Any], *, started: bool = False
    ) -> int:
        """Give back messages (newest first) without blame; returns how many, 0 if that was done before.

        `number` is higher than that of the worker's release before, and the same when this one is sent again.
        """
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake, k.releases]
        return owned(self.run("release", key_names, worker, number, int(started), *message_ids), queue, worker)

    def outstanding(self, queue: str) -> int:
        """How many messages are not finished yet: waiting, delayed or being handled by anybody."""
        k = self.keys(queue)
        return int(self.connection.execute("HLEN", k.messages)) - int(self.connection.execute("LLEN", k.parked))

    def block(self, queues: Sequence[str], timeout_s: float) -> float:
        """Ask to be told when there may be something to claim; the reply comes within the returned seconds.

        No message travels with this command, so losing its reply costs time only.
        """
        timeout: float = math.ceil(max(min(timeout_s, self.connection.longest_block_s), 0.01) * 1000) / 1000
        if self._whole_seconds or timeout == int(timeout):
            timeout = max(1, math.ceil(timeout))
        self.connection.block([self.keys(queue).wake for queue in queues], timeout)
        return timeout + self.connection.reply_s

    def woken(self) -> None:
        """Read the reply to `block`."""
        try:
            self.connection.unblocked()
        except BrokerReplyError as error:
            if "timeout is not an integer" not in str(error):
                raise
            self._whole_seconds = True
