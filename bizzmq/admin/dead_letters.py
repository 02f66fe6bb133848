"""Dead letters: list and find them."""

from __future__ import annotations

from bizzmq.admin.listing import MAX_PAGE, read_page
from bizzmq.admin.purge import check_exists
from bizzmq.admin.stored_message import DEAD_LETTERED, StoredMessage, stored_message
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes
from bizzmq.protocol.keys import QueueKeys


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
