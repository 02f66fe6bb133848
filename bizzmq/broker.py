"""One method per transition. Whoever calls has retries and logging; here is only what Redis is asked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple, Sequence

from bizzmq import keys
from bizzmq.connections import AnyConnection
from bizzmq.errors import BrokerReplyError, ConfigurationError, LeaseLostError, QueueNotFoundError
from bizzmq.foreign import NoScriptError
from bizzmq.queue import QueueOptions
from bizzmq.registry import Death, Registry, Requeued, as_text
from bizzmq.store import grave, owned, pairs

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


class Broker(Registry):
    """All transitions of all queues over one connection."""

    def __init__(self, connection: AnyConnection) -> None:
        super().__init__(connection)
        self._claims: dict[tuple[str, str], tuple[Any, ...]] = {}  # commands made once: this is asked most often
        self._whole_seconds = False  # Redis 5 blocks for whole seconds only

    def create(self, queue: str, options: QueueOptions) -> bool:
        """Create a queue with all its shards; False if it existed, in whatever number of shards.

        Raises:
            ConfigurationError: the name is none that a queue may be created by.
        """
        self.keys(queue)  # a bad name is said before anything is done
        if keys.whole_of(queue) != queue:
            raise ConfigurationError(f"{queue!r} is the name of a shard: create {keys.whole_of(queue)!r} with shards")
        if options.shards > 1 and (not self.exists(queue) or len(self.shards(queue)) == options.shards):
            for index in range(1, options.shards):  # first: whoever sees the queue finds all of it
                self._create_one(keys.shard_of(queue, index), replace(options, shards=1))
        self.connection.execute("SADD", keys.INDEX, queue)  # first: no queue may be there that it does not name
        return self._create_one(queue, options)

    def _create_one(self, queue: str, options: QueueOptions) -> bool:
        own = self.keys(queue)
        dead = own.dead_letters()
        wants_dead = options.config_dead_letter_queue and not own.is_dead_letter_queue
        fields = [part for pair in options.to_meta().items() for part in pair]
        return bool(self.run("create", [own.meta, dead.meta], int(wants_dead), *fields))

    def exists(self, queue: str) -> bool:
        """Whether a queue was created, or came into being as the dead-letter queue of another one."""
        return bool(self.connection.execute("EXISTS", self.keys(queue).meta))

    def shards(self, queue: str) -> list[str]:
        """The names of a queue's shards, the queue's own first; only that if it has no others, or does not exist."""
        dead = self.keys(queue).is_dead_letter_queue
        owner = self.keys(self.keys(queue).owner) if dead else self.keys(queue)
        stored = self.connection.execute("HGET", owner.meta, "shards") or b""
        count = min(int(stored), keys.MAX_SHARDS) if stored.isdigit() else 1
        return [keys.shard_of(queue, index) for index in range(max(1, count))]

    def options(self, queue: str) -> QueueOptions:
        """The options that a queue was created with. Raises QueueNotFoundError."""
        flat = self.connection.execute("HGETALL", self.keys(queue).meta)
        if not flat:
            raise QueueNotFoundError(queue)
        return QueueOptions.from_meta({as_text(name): as_text(value) for name, value in pairs(flat)})

    def publish(
        self, queue: str, publisher: str, request: int, delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Publish some messages at once; `entries` alternates ids and envelopes.

        Raises:
            QueueNotFoundError: nothing was published.
        """
        k = self.keys(queue)
        key_names = [k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats]
        reply = self.run("publish", [*key_names, k.publisher(publisher)], request, delay_ms, priority, *entries)
        if reply == -1:
            raise QueueNotFoundError(queue)

    def claim(self, queue: str, worker: str, want: int, finished: Sequence[Any] = ()) -> Claimed:
        """Ack what is finished (oldest first), then hold up to `want` messages and return all that are held."""
        command = self._claims.get((queue, worker)) or self._claim_command(queue, worker)
        try:
            reply = self.connection.execute(*command, want, *finished)
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
