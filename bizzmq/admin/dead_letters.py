"""Dead letters: list, find and replay them."""

from __future__ import annotations

from typing import NamedTuple

from bizzmq.admin.listing import MAX_PAGE, read_page
from bizzmq.admin.purge import check_exists
from bizzmq.admin.stored_message import DEAD_LETTERED, StoredMessage, stored_message
from bizzmq.broker.broker import Broker
from bizzmq.broker.message_calls import replay_call, replay_result
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes
from bizzmq.protocol.keys import QueueKeys


class DeadLetterId(NamedTuple):
    """The id of a dead letter, and the keys of the shard of the dead-letter queue that has it."""

    k: QueueKeys
    id: bytes


def dead_letters(broker: Broker, queue: str, offset: int, count: int) -> list[StoredMessage]:
    """Dead letters of a queue, oldest first in each place of each shard.

    Args:
        queue: name of the queue or of its dead-letter queue, as in all functions here.
    """
    found: list[StoredMessage] = []
    after = None
    k = broker.keys(queue)
    while len(found) < count:
        limit = min(MAX_PAGE, count - len(found))
        page = broker.perform(read_page(k, DEAD_LETTERED, limit, after, 0 if after else offset))
        found += page.messages
        after = page.next
        if after is None:
            break
    return found


def dead_letter_count(broker: Broker, queue: str) -> int:
    """Number of dead letters, including those that a worker holds. Raises QueueNotFoundError."""
    return broker.perform(count_dead_letters(broker.keys(queue)))


def count_dead_letters(k: QueueKeys) -> Operation[int]:
    """The operation of `dead_letter_count`."""
    dead = k.dead_letters()
    yield from check_exists(dead)
    total = 0
    for shard in (yield from read_shards(dead)):
        total += int((yield command("HLEN", shard.messages)))
    return total


def dead_letter(broker: Broker, queue: str, message_id: str) -> StoredMessage | None:
    """The dead letter with this id, in any place; None without one."""
    return broker.perform(read_dead_letter(broker.keys(queue), as_bytes(message_id)))


def read_dead_letter(k: QueueKeys, message_id: bytes) -> Operation[StoredMessage | None]:
    """The operation of `dead_letter`."""
    for shard in (yield from read_shards(k.dead_letters())):
        envelope = yield command("HGET", shard.messages, message_id)
        if envelope is not None:
            return stored_message(shard, message_id, envelope, None, "")
    return None


def dead_letter_ids(k: QueueKeys, only: bytes | None = None) -> Operation[list[DeadLetterId]]:
    """Ids of all dead letters that no worker holds, oldest first in each place of each shard.

    Args:
        only: the id of one; the result is empty if there is none. None for all.

    Raises:
        QueueNotFoundError: there is no such dead-letter queue.
    """
    dead = k.dead_letters()
    yield from check_exists(dead)
    found: list[DeadLetterId] = []
    for shard in (yield from read_shards(dead)):
        if only is not None:
            if (yield command("HEXISTS", shard.messages, only)):
                return [DeadLetterId(shard, only)]
            continue
        for key in (shard.waiting, shard.parked):
            ids = yield command("LRANGE", key, 0, -1)
            found += [DeadLetterId(shard, message_id) for message_id in reversed(ids)]
        for key in (shard.prioritized, shard.delayed):
            ids = yield command("ZRANGE", key, 0, -1)
            found += [DeadLetterId(shard, message_id) for message_id in ids]
    return found


def replay_one(one: DeadLetterId) -> Operation[bool]:
    """Return a dead letter to its queue, by its priority. False if it is not there, or if a worker holds it.

    Raises:
        QueueNotFoundError: the original queue does not exist.
    """
    envelope = yield command("HGET", one.k.messages, one.id)
    if envelope is None:
        return False
    priority = stored_message(one.k, one.id, envelope, None, "").priority
    own = QueueKeys(one.k.owner)
    reply = yield Script("replay", replay_call(own, one.id, priority))
    return replay_result(reply, own.queue)
