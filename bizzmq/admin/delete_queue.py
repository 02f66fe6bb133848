"""Deletes a queue with its shards and its dead-letter queue."""

from __future__ import annotations

from typing import Any, NamedTuple

from bizzmq.broker.operations import Operation, Script, Together, command
from bizzmq.broker.queues import (
    ALL,
    COUNT,
    EMPTY,
    Deletion,
    check_no_shard,
    delete_queue_call,
    delete_queue_result,
    read_shards,
    restore_call,
)
from bizzmq.broker.replies import pairs
from bizzmq.errors import BizzMQError, ConfigurationError, QueueInUseError, QueueNotFoundError
from bizzmq.protocol import ids, keys
from bizzmq.protocol.keys import QueueKeys

_TRIES = 10


class _Shard(NamedTuple):
    """A shard, and the options of both of its sides as they are stored."""

    k: QueueKeys
    meta: Any
    dead_meta: Any

    @property
    def created_ms(self) -> bytes:
        return dict(pairs(self.meta)).get(b"created_ms", b"")


def count_queue(k: QueueKeys) -> Operation[Deletion]:
    """What the deletion of a queue would delete: the sums of all shards. Raises as `delete_queue`."""
    own = yield from _deletable(k)
    counted = []
    for shard in (yield from read_shards(own)):
        counted.append((yield from _run(shard, COUNT))[1])  # noqa: PERF401 - a comprehension cannot yield
    found = [one for one in counted if one is not None]
    if not found:
        raise QueueNotFoundError(k.queue)
    return _sum(found)


def delete_queue(k: QueueKeys, *, with_messages: bool) -> Operation[int]:
    """Delete a queue. Returns how many messages were deleted with it.

    The queue itself goes after its shards, so a repetition completes a deletion that was interrupted.

    Args:
        with_messages: also if it has messages or registered workers.

    Raises:
        QueueInUseError: it has some, also while it was being deleted: then its shards exist again.
        ConfigurationError: this is a shard, or the dead-letter queue of a queue that exists.
        QueueNotFoundError
    """
    before = yield from count_queue(k)
    if not with_messages and before.is_in_use:
        raise _in_use(k, before)
    own = QueueKeys(k.owner)
    deleted: list[tuple[_Shard, Deletion]] = []
    for shard in reversed((yield from read_shards(own))):
        read, done = yield from _run(shard, ALL if with_messages else EMPTY)
        if done is None:
            continue
        if not done.is_deleted:
            yield from _restore([one for one, _ in deleted])
            raise _in_use(k, done)
        deleted.append((read, done))
        yield command("UNLINK", shard.metrics, shard.dead_letters().metrics)  # reports of pools expire
    yield from _forget_name(own)
    return sum(done.messages + done.dead_letters for _, done in deleted)


def _deletable(k: QueueKeys) -> Operation[QueueKeys]:
    """The keys of the queue to delete; of the owner for a dead-letter queue without one."""
    check_no_shard(k.queue, "delete {}, which deletes all shards")
    own = QueueKeys(k.owner)
    if k.is_dead_letter_queue and (yield command("EXISTS", own.meta)):
        raise ConfigurationError(
            f"{k.queue!r} is the dead-letter queue of {own.queue!r} and is deleted with it; its messages can be purged"
        )
    return own


def _run(k: QueueKeys, mode: str) -> Operation[tuple[_Shard, Deletion | None]]:
    """Run the script on a shard, and again if a worker has registered meanwhile. None if there is no such shard."""
    for _ in range(_TRIES):
        lists = yield from _processing_lists(k)
        meta, dead_meta = yield Together([("HGETALL", k.meta), ("HGETALL", k.dead_letters().meta)])
        shard = _Shard(k, meta, dead_meta)
        reply = yield Script("delete_queue", delete_queue_call(k, lists, mode, shard.created_ms, ids.nonce()))
        if reply[0] != -2:
            return shard, delete_queue_result(reply)
    raise BizzMQError(f"workers of {k.queue!r} register all the time, so it was not deleted: stop its pools first")


def _processing_lists(k: QueueKeys) -> Operation[list[bytes]]:
    """Keys of the processing lists of all registered workers of both sides."""
    sides = (k, k.dead_letters())
    found = yield Together([("HGETALL", side.workers) for side in sides])
    return [side.processing("").encode() + worker for side, flat in zip(sides, found) for worker, _ in pairs(flat)]


def _restore(shards: list[_Shard]) -> Operation[None]:
    """Create deleted shards again, with the options that they had. They were empty."""
    for shard in shards:
        for k, flat in ((shard.k.dead_letters(), shard.dead_meta), (shard.k, shard.meta)):
            if flat:
                yield Script("create", restore_call(k, flat))


def _forget_name(own: QueueKeys) -> Operation[None]:
    """Remove the names from the index, unless one was created again meanwhile.

    Who creates a queue adds its name before and after. So whichever comes last, an existing queue is in the index.
    """
    for k in (own, own.dead_letters()):
        yield command("SREM", keys.INDEX, k.queue)
        if (yield command("EXISTS", k.meta)):
            yield command("SADD", keys.INDEX, k.queue)


def _in_use(k: QueueKeys, found: Deletion) -> QueueInUseError:
    return QueueInUseError(k.queue, found.messages, found.dead_letters, found.workers)


def _sum(parts: list[Deletion]) -> Deletion:
    messages, dead_letters, workers = (sum(part[place] for part in parts) for place in (1, 2, 3))
    return Deletion(False, messages, dead_letters, workers)
