"""Maintenance: the transitions that only `bizzmq audit` runs, to find and repair damage."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import as_text
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys


class Located(NamedTuple):
    """What is stored of one id in a queue and in its dead-letter queue.

    Attributes:
        stored, has_attempts: (in the queue, in the dead-letter queue).
        locations: (key, how often the id is there) of each list and set that has the id.
    """

    stored: tuple[bool, bool]
    has_attempts: tuple[bool, bool]
    locations: tuple[tuple[bytes, int], ...]


class Maintenance:
    """Transitions that find and repair damage.

    `lists` are the keys of the processing lists of all workers, registered or not. A method does nothing and returns
    None if the list of a registered worker is missing: the worker came after the caller had read the lists.
    """

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def locate(self, queue: str, lists: Sequence[bytes], ids: Sequence[bytes]) -> list[Located] | None:
        """Find ids (at most 100) in a queue and in its dead-letter queue, at one moment."""
        k = self._keys(queue)
        return locate_result(self._run("locate", locate_call(k, k.dead_letters(), lists, ids)))

    def scan_fields(self, key: str, cursor: Any, count: int) -> tuple[Any, list[bytes]]:
        """About `count` field names of a hash. Returns the next cursor, 0 at the end, and the names."""
        return scan_fields_result(self._run("scan_fields", scan_fields_call(key, cursor, count)))

    def drop_missing(self, queue: str, place: bytes, ids: Sequence[bytes]) -> int:
        """Remove ids without an envelope from the list or set `place`. Returns how many.

        Args:
            ids: from the right end of a list to the left, at most 100.
        """
        call = drop_missing_call(self._keys(queue), place, ids)
        return drop_missing_result(self._run("drop_missing", call))

    def drop_attempts(self, queue: str, ids: Sequence[bytes]) -> int:
        """Delete the attempts of messages (at most 100) that no longer exist. Returns how many."""
        call = drop_attempts_call(self._keys(queue), ids)
        return drop_attempts_result(self._run("drop_attempts", call))

    def find_leftovers(self, queue: str, ids: Sequence[bytes], unique_keys: Sequence[bytes]) -> list[str]:
        """What is wrong beside messages: for each id and then for each unique key (at most 100 of both).

        Returns:
            For each "" or, of an id, "gone" (without a message), "unlisted" (a message without its entry) or "keyless"
            (a message without its unique key); of a unique key "stale" (without a message).
        """
        call = find_leftovers_call(self._keys(queue), ids, unique_keys)
        return find_leftovers_result(self._run("find_leftovers", call))

    def repair_leftovers(self, queue: str, ids: Sequence[bytes], unique_keys: Sequence[bytes]) -> int:
        """Repair what `find_leftovers` finds. Returns of how many ids and keys."""
        call = repair_leftovers_call(self._keys(queue), ids, unique_keys)
        return repair_leftovers_result(self._run("repair_leftovers", call))

    def requeue_unplaced(self, queue: str, lists: Sequence[bytes], ids: Sequence[bytes]) -> int | None:
        """Put stored messages that are in no list or set at the head of the queue. Returns how many.

        Args:
            ids: newest first, at most 100.
        """
        k = self._keys(queue)
        other = self._keys(k.owner) if k.is_dead_letter_queue else k.dead_letters()
        return requeue_unplaced_result(self._run("requeue_unplaced", requeue_unplaced_call(k, other, lists, ids)))

    def deduplicate(self, queue: str, lists: Sequence[bytes], ids: Sequence[bytes]) -> int | None:
        """Leave one copy of messages (at most 100). Returns how many had several."""
        k = self._keys(queue)
        return deduplicate_result(self._run("deduplicate", deduplicate_call(k, k.dead_letters(), lists, ids)))

    def requeue_unregistered(self, queue: str, worker: bytes) -> int | None:
        """Return up to 100 messages of an unregistered worker to the queue. Returns how many, None if registered."""
        call = requeue_unregistered_call(self._keys(queue), worker)
        return requeue_unregistered_result(self._run("requeue_unregistered", call))

    def write_off(self, queue: str, before: int, total: int) -> bool:
        """Accept a difference of the accounts: the written-off total becomes `total`, if it is still `before`."""
        return write_off_result(self._run("write_off", write_off_call(self._keys(queue), before, total)))


def locate_call(k: QueueKeys, dead: QueueKeys, lists: Sequence[bytes], ids: Sequence[bytes]) -> Call:
    return [*_located_keys(k), *_located_keys(dead), *lists], ids


def locate_result(reply: Any) -> list[Located] | None:
    if reply[0] == -2:
        return None
    return [
        Located((bool(row[0]), bool(row[1])), (bool(row[2]), bool(row[3])), tuple(zip(row[4::2], row[5::2])))
        for row in reply[1:]
    ]


def scan_fields_call(key: str, cursor: Any, count: int) -> Call:
    return [key], [cursor, count]


def scan_fields_result(reply: Any) -> tuple[Any, list[bytes]]:
    cursor, names = reply
    return cursor, names


def drop_missing_call(k: QueueKeys, place: bytes, ids: Sequence[bytes]) -> Call:
    return [place, k.messages, k.attempts, k.stats], ids


def drop_missing_result(reply: Any) -> int:
    return int(reply)


def drop_attempts_call(k: QueueKeys, ids: Sequence[bytes]) -> Call:
    return [k.attempts, k.messages], ids


def drop_attempts_result(reply: Any) -> int:
    return int(reply)


def find_leftovers_call(k: QueueKeys, ids: Sequence[bytes], unique_keys: Sequence[bytes]) -> Call:
    return [*_stored_keys(k), *_hashes_beside(k)], [len(ids), *ids, *unique_keys]


def find_leftovers_result(reply: Any) -> list[str]:
    return [as_text(one) for one in reply]


def repair_leftovers_call(k: QueueKeys, ids: Sequence[bytes], unique_keys: Sequence[bytes]) -> Call:
    return [*_stored_keys(k), k.stats, *_hashes_beside(k)], [len(ids), *ids, *unique_keys]


def repair_leftovers_result(reply: Any) -> int:
    return int(reply)


def requeue_unplaced_call(k: QueueKeys, other: QueueKeys, lists: Sequence[bytes], ids: Sequence[bytes]) -> Call:
    """`other` are the keys of the other side: the dead-letter queue, or the original one."""
    others = [other.messages, other.workers, other.waiting, other.parked, other.prioritized, other.delayed]
    return [*_located_keys(k), k.wake, k.stats, *others, *lists], ids


def requeue_unplaced_result(reply: Any) -> int | None:
    return None if reply == -2 else int(reply)


def deduplicate_call(k: QueueKeys, dead: QueueKeys, lists: Sequence[bytes], ids: Sequence[bytes]) -> Call:
    return locate_call(k, dead, lists, ids)


def deduplicate_result(reply: Any) -> int | None:
    return None if reply == -2 else int(reply)


def requeue_unregistered_call(k: QueueKeys, worker: bytes) -> Call:
    held = k.processing("").encode() + worker
    return [k.workers, held, k.waiting, k.prioritized, k.attempts, k.wake, k.stats], [worker]


def requeue_unregistered_result(reply: Any) -> int | None:
    return None if reply == -1 else int(reply)


def write_off_call(k: QueueKeys, before: int, total: int) -> Call:
    return [k.stats], [before, total]


def write_off_result(reply: Any) -> bool:
    """False if another client has written something off since."""
    return bool(reply)


def _stored_keys(k: QueueKeys) -> list[str]:
    return [k.messages, k.dead_letters().messages, k.extras, k.unique]


def _hashes_beside(k: QueueKeys) -> list[str]:
    """The hashes of what messages have beside them, by id, without that of their entries."""
    return [key for key in k.beside if key not in (k.extras, k.unique)]


def _located_keys(k: QueueKeys) -> list[str]:
    return [k.messages, k.attempts, k.workers, k.waiting, k.parked, k.prioritized, k.delayed]
