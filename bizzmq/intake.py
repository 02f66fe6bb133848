"""How queues and messages come in: queues created and looked up, messages published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Sequence

from bizzmq import keys
from bizzmq.errors import BrokerReplyError, ConfigurationError, QueueNotFoundError
from bizzmq.foreign import CommandRefusedError
from bizzmq.queue import QueueOptions, stored_shards
from bizzmq.registry import Registry, as_text
from bizzmq.store import pairs


class Intake(Registry):
    """The transitions that create, and the looks at what was created."""

    def create(self, queue: str, options: QueueOptions, *, implicit: bool = False) -> bool:
        """Create a queue with all its shards; False if it existed, in whatever number of shards.

        Args:
            implicit: nobody has chosen these options: the first create that is not implicit still sets them, all but
                the number of shards, by which others may be at work already. See docs/adr/0061.

        Raises:
            ConfigurationError: the name is none that a queue may be created by.
        """
        self.keys(queue)  # a bad name is said before anything is done
        try:
            return self._create(queue, options, implicit)
        except CommandRefusedError:
            if self._is_created(queue):  # who may publish only asks for what is there
                return False
            raise

    def _is_created(self, queue: str) -> bool:
        meta = self.keys(queue).meta
        return bool(self.connection.execute("HGET", meta, "retry")) and not self.connection.execute(
            "HGET", meta, "implicit"
        )

    def _create(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        if keys.whole_of(queue) != queue:
            raise ConfigurationError(f"{queue!r} is the name of a shard: create {keys.whole_of(queue)!r} with shards")
        shards = len(self.shards(queue)) if self.exists(queue) else options.shards
        for index in range(1, shards):  # first: a queue that can be seen is complete
            self._create_one(keys.shard_of(queue, index), replace(options, shards=1), implicit)
        self.connection.execute("SADD", keys.INDEX, queue)  # first: no queue may be there that it does not name
        return self._create_one(queue, replace(options, shards=shards), implicit)

    def _create_one(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        own = self.keys(queue)
        dead = own.dead_letters()
        wants_dead = options.config_dead_letter_queue and not own.is_dead_letter_queue
        fields = [part for pair in options.to_meta().items() for part in pair]
        return bool(self.run("create", [own.meta, dead.meta], int(wants_dead), int(implicit), *fields))

    def exists(self, queue: str) -> bool:
        """Whether a queue was created, or came into being as the dead-letter queue of another one."""
        return bool(self.connection.execute("EXISTS", self.keys(queue).meta))

    def shards(self, queue: str) -> list[str]:
        """The names of a queue's shards, the queue's own first; only that if it has no others, or does not exist.

        Raises:
            DecodeError: what is stored is no such number.
        """
        dead = self.keys(queue).is_dead_letter_queue
        owner = self.keys(self.keys(queue).owner) if dead else self.keys(queue)
        count = stored_shards(as_text(self.connection.execute("HGET", owner.meta, "shards") or b""))
        return [keys.shard_of(queue, index) for index in range(count)]

    def options(self, queue: str) -> QueueOptions:
        """The options that a queue was created with. Raises QueueNotFoundError, DecodeError."""
        return self.meta(queue)[0]

    def meta(self, queue: str) -> tuple[QueueOptions, bool]:
        """The options of a queue, and whether nobody has chosen them. Raises as `options`."""
        flat = self.connection.execute("HGETALL", self.keys(queue).meta)
        if not flat:
            raise QueueNotFoundError(queue)
        stored = {as_text(name): as_text(value) for name, value in pairs(flat)}
        return QueueOptions.from_meta(stored), "implicit" in stored

    def publish(
        self, queue: str, publisher: str, request: int, delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Publish some messages at once; `entries` alternates ids and envelopes.

        Raises:
            QueueNotFoundError: nothing was published.
            BrokerReplyError: the publisher's number in Redis is forged; whether it was published before is unknown.
        """
        names = self._publish_keys(queue, publisher)
        reply = self.run("publish", names, f"{request}", "0", f"{delay_ms}", f"{priority}", *entries)
        if reply < 0:
            raise QueueNotFoundError(queue) if reply == -1 else _forged(names[-1])

    def send_publish(
        self, queue: str, publisher: str, numbers: tuple[int, int], delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Send a publish without waiting for its reply.

        Args:
            numbers: of this request, and of the one that must have been executed before it, since its reply was not
                read yet, or 0.
        """
        command = self.called("publish", self._publish_keys(queue, publisher))
        connection = self.connection.at(command[3])
        send = connection.send_more if numbers[1] else connection.send
        send((*command, *map(str, numbers), f"{delay_ms}", f"{priority}", *entries))

    def has_published(self, queue: str) -> bool:
        """Read the reply to the first `send_publish` that was not read yet; False if Redis did not execute it."""
        return int(self.connection.at(self.keys(queue).meta).read()) >= 0

    def _publish_keys(self, queue: str, publisher: str) -> list[str]:
        k = self.keys(queue)
        own = [k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats]
        return [*own, k.publisher(publisher)]


def _forged(key: str) -> BrokerReplyError:
    return BrokerReplyError(
        f"somebody has written to {key}, so Redis cannot tell whether these messages are stored: "
        "publish them again if doubling them is better than losing them"
    )
