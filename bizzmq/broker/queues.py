"""Queues: create and look them up, delete their messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, NamedTuple, Sequence

from bizzmq.broker.operations import Call, Operation, command
from bizzmq.broker.replies import as_text, pairs
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import BrokerReplyError, ConfigurationError, DecodeError, QueueNotFoundError
from bizzmq.protocol import keys
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import LAYOUT_VERSION, QueueOptions, stored_shards


class Purged(NamedTuple):
    """Result of one step of a purge.

    Attributes:
        deleted: number of messages that this step has deleted.
        newer: number of messages that came after the purge began; -1 if nothing older is left.
        marks: ids that the next step needs.
    """

    deleted: int
    newer: int
    marks: Sequence[bytes]


COUNT, EMPTY, ALL = "count", "empty", "all"
"""What `delete_queue` deletes: nothing, a queue without messages and workers, any queue."""


class Deletion(NamedTuple):
    """Result of the deletion of a queue or shard: what it had, together with its dead-letter queue.

    Attributes:
        is_deleted: whether it was deleted.
        messages: number of messages, including those that workers hold.
        dead_letters: number of messages of the dead-letter queue.
        workers: number of registered workers of both, or of supervisors without workers.
    """

    is_deleted: bool
    messages: int
    dead_letters: int
    workers: int

    @property
    def is_in_use(self) -> bool:
        return self.messages + self.dead_letters + self.workers > 0


class Queues:
    """Transitions of whole queues."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def create(self, queue: str, options: QueueOptions, *, implicit: bool = False) -> bool:
        """Create a queue with all its shards. Returns False if it existed, with any number of shards.

        Args:
            implicit: no one chose these options. The first create with chosen options replaces them, except the number
                of shards, which other clients may use already. See docs/internals/decisions/0061.

        Raises:
            ConfigurationError: a queue cannot have this name.
        """
        self._keys(queue)  # an invalid name is reported before any command
        try:
            return self._create(queue, options, implicit)
        except CommandRefusedError:
            if self._is_created(queue):  # a user that may only publish asks for an existing queue
                return False
            raise

    def _is_created(self, queue: str) -> bool:
        meta = self._keys(queue).meta
        return bool(self._connection.execute("HGET", meta, "retry")) and not self._connection.execute(
            "HGET", meta, "implicit"
        )

    def _create(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        check_no_shard(queue)
        shards = len(self.shards(queue)) if self.exists(queue) else options.shards
        for index in range(1, shards):  # before the queue itself: a visible queue is complete
            self._create_one(keys.shard_of(queue, index), replace(options, shards=1), implicit)
        self._connection.execute("SADD", keys.INDEX, queue)  # before the queue itself: the index names every queue
        is_new = self._create_one(queue, replace(options, shards=shards), implicit)
        if is_new:
            self._connection.execute("SADD", keys.INDEX, queue)  # a deletion may have removed the name meanwhile
        return is_new

    def update(self, queue: str, fields: Mapping[str, str], *, dead_letters: bool) -> list[str | None]:
        """Change some stored options of a queue or shard. Returns their values before; None for a missing one.

        Args:
            fields: field of the meta hash -> value, as `QueueOptions.to_meta` writes it.
            dead_letters: whether to create its dead-letter queue too.

        Raises:
            QueueNotFoundError: the queue does not exist.
            DecodeError: its options have the layout of another version; nothing is changed.
        """
        call = update_call(self._keys(queue), fields, dead_letters=dead_letters)
        return update_result(self._run("update", call), queue)

    def delete(
        self, queue: str, lists: Sequence[bytes], mode: str, created_ms: bytes, nonce: str = ""
    ) -> Deletion | None:
        """Delete a queue or one shard, together with its dead-letter queue.

        Args:
            lists: keys of the processing lists of all workers, registered or not.
            mode: COUNT, EMPTY or ALL.
            created_ms: its time of creation as stored; b"" if it has none.
            nonce: of the caller. A repetition of its last call then returns the same, as after a lost reply.

        Returns:
            None if there is no such queue, or another one by now.

        Raises:
            BrokerReplyError: the list of a registered worker is missing.
        """
        return delete_queue_result(
            self._run("delete_queue", delete_queue_call(self._keys(queue), lists, mode, created_ms, nonce))
        )

    def _create_one(self, queue: str, options: QueueOptions, implicit: bool) -> bool:
        call = create_call(self._keys(queue), options, implicit)
        return create_result(self._run("create", call))

    def exists(self, queue: str) -> bool:
        """Whether a queue was created, by itself or as the dead-letter queue of another one."""
        return bool(self._connection.execute("EXISTS", self._keys(queue).meta))

    def shards(self, queue: str) -> list[str]:
        """Names of a queue's shards, the queue itself first. A queue that does not exist has one.

        Raises:
            DecodeError: the stored number of shards is invalid.
        """
        return shards_result(self._connection.execute(*shards_command(self._keys(queue))), queue)

    def options(self, queue: str) -> QueueOptions:
        """Stored options of a queue. Raises QueueNotFoundError, DecodeError."""
        return self.meta(queue)[0]

    def meta(self, queue: str) -> tuple[QueueOptions, bool]:
        """Stored options of a queue, and whether they are implicit. Raises as `options`."""
        return meta_result(self._connection.execute("HGETALL", self._keys(queue).meta), queue)

    def purge(
        self, queue: str, place: str, limit: int, newer: int = -1, marks: Sequence[bytes] = (), nonce: str = ""
    ) -> Purged:
        """Delete up to `limit` (at most 100) of the oldest messages of a list that were there when the purge began.

        Args:
            place: key of `waiting` or `parked`.
            newer, marks: from the step before. The defaults begin a purge; a limit of 0 then only sets the marks.
            nonce: of the caller. A repetition of its last step then deletes nothing, and returns the same.
        """
        return purge_result(self._run("purge", purge_call(self._keys(queue), place, limit, newer, marks, nonce)))


def create_call(k: QueueKeys, options: QueueOptions, implicit: bool) -> Call:
    dead = k.dead_letters()
    wants_dead = options.config_dead_letter_queue and not k.is_dead_letter_queue
    fields = [part for pair in options.to_meta().items() for part in pair]
    return [k.meta, dead.meta], [int(wants_dead), int(implicit), *fields]


def create_result(reply: Any) -> bool:
    """False if the queue existed."""
    return bool(reply)


def update_call(k: QueueKeys, fields: Mapping[str, str], *, dead_letters: bool) -> Call:
    given = [part for pair in fields.items() for part in pair]
    return [k.meta, k.dead_letters().meta], [int(dead_letters), LAYOUT_VERSION, *given]


def update_result(reply: Any, queue: str) -> list[str | None]:
    """The values before, None for a missing one. Raises QueueNotFoundError, DecodeError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    if reply == -2:
        raise DecodeError(f"the options of {queue!r} have another layout: a newer release created this queue")
    return [None if value is None else as_text(value) for value in reply]


def restore_call(k: QueueKeys, flat: Sequence[bytes]) -> Call:
    """Create a queue or shard with the fields of its former meta hash."""
    fields = [part for pair in pairs(flat) if pair[0] not in (b"created_ms", b"implicit") for part in pair]
    return [k.meta, k.dead_letters().meta], [0, int(b"implicit" in flat[::2]), *fields]


def delete_queue_call(k: QueueKeys, lists: Sequence[bytes], mode: str, created_ms: bytes, nonce: str = "") -> Call:
    """`k` are the keys of the original queue, not of its dead-letter queue."""
    own = [*_all_keys(k), *_all_keys(k.dead_letters()), k.schedules, k.due, k.fires]
    return [*own, *lists], [mode, created_ms, nonce]


def delete_queue_result(reply: Any) -> Deletion | None:
    """None if there is no such queue. Raises BrokerReplyError."""
    if reply[0] == -2:
        raise BrokerReplyError("a worker has registered on the queue meanwhile, so it was not deleted")
    return None if reply[0] == -1 else Deletion(reply[0] == 1, *reply[1:])


def _all_keys(k: QueueKeys) -> list[str]:
    hashes = [k.meta, k.messages, k.attempts, k.supervisors, k.workers, k.releases, k.stats]
    return [*hashes, k.waiting, k.parked, k.prioritized, k.delayed, k.wake]


def shards_command(k: QueueKeys) -> tuple[str, str, str]:
    """The command that reads the number of a queue's shards."""
    return "HGET", QueueKeys(k.owner).meta if k.is_dead_letter_queue else k.meta, "shards"


def shards_result(reply: Any, queue: str) -> list[str]:
    """Names of a queue's shards, the queue itself first. Raises DecodeError."""
    return [keys.shard_of(queue, index) for index in range(stored_shards(as_text(reply or b"")))]


def meta_result(flat: Any, queue: str) -> tuple[QueueOptions, bool]:
    """Stored options, and whether they are implicit. Raises QueueNotFoundError, DecodeError."""
    if not flat:
        raise QueueNotFoundError(queue)
    stored = {as_text(name): as_text(value) for name, value in pairs(flat)}
    return QueueOptions.from_meta(stored), "implicit" in stored


def read_shards(k: QueueKeys) -> Operation[list[QueueKeys]]:
    """The keys of a queue's shards, the queue itself first. Raises DecodeError."""
    reply = yield command(*shards_command(k))
    return [QueueKeys(shard) for shard in shards_result(reply, k.queue)]


def read_meta(k: QueueKeys) -> Operation[tuple[QueueOptions, bool]]:
    """The options of a queue, and whether they are implicit. Raises QueueNotFoundError, DecodeError."""
    reply = yield command("HGETALL", k.meta)
    return meta_result(reply, k.queue)


def check_no_shard(queue: str, what: str = "create {} with shards") -> None:
    """Raise ConfigurationError for the name of a shard. `what` says what to do with its queue, `{}`."""
    if keys.logical_queue(queue) != queue:
        raise ConfigurationError(f"{queue!r} is the name of a shard: {what.format(repr(keys.logical_queue(queue)))}")


def purge_call(
    k: QueueKeys, place: str, limit: int, newer: int, marks: Sequence[bytes], nonce: str = "", number: int = 0
) -> Call:
    """`nonce` is the same for all steps of a purge, and `number` says how many were before."""
    return [place, k.messages, k.attempts, k.stats], [limit, newer, nonce, number, *marks]


def purge_result(reply: Any) -> Purged:
    deleted, newer, marks = reply
    return Purged(int(deleted), int(newer), marks)
