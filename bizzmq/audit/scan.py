"""`QueueScan`: reads a queue in use page by page and finds the ids that are not in exactly one place.

A pass may see a moving message twice or not at all, so it only finds suspects. Ids that several passes agree on are
then read in one step (`locate`), and only that result is reported.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Sequence, TypeVar

from bizzmq.admin.queue_problems import queue_problems
from bizzmq.audit.locations import DEAD, OWN, Location, MessageLocations, batches
from bizzmq.broker.broker import Broker
from bizzmq.broker.maintenance import Located
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.errors import BrokerUnavailableError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys

PAGE, HASH_PAGE = 500, 200
_MAX_PASSES = 5
_TRIES = 50
_SHORT, _MAX_COMPARED = 300_000, 3_000_000
"""Ids in all lists that a script reads in 0.2 s, and comparisons that take as long when it searches longer lists."""

T = TypeVar("T")


class QueueScan:
    """Reads a queue and its dead-letter queue. Changes nothing."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self.broker = broker
        owner = broker.keys(broker.keys(queue).owner)
        self.sides: tuple[QueueKeys, QueueKeys] = (owner, owner.dead_letters())
        self._found = sorted(self._scan())

    def _scan(self) -> set[bytes]:
        """Keys of all existing processing lists, of registered and unregistered workers."""
        connection = self.broker.connection.at(self.sides[OWN].meta)
        pattern = self.sides[OWN].processing("*").replace("processing:", "*processing:")
        found: set[bytes] = set()
        cursor: Any = 0
        while True:
            cursor, keys = connection.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            prefixes = tuple(k.processing("").encode() for k in self.sides)
            # `processing:x}:publisher:y` may be the key of a publisher, and is not a processing list.
            found.update(key for key in keys if key.startswith(prefixes) and key.count(b"}") == 1)
            if int(cursor) == 0:
                return found

    def workers(self, side: int) -> dict[bytes, bytes]:
        """Worker id -> supervisor id of all registered workers."""
        flat = self.broker.connection.execute("HGETALL", self.sides[side].workers)
        return dict(zip(flat[::2], flat[1::2]))

    def lists(self) -> list[bytes]:
        """Keys of all processing lists that may exist now."""
        registered = {
            k.processing("").encode() + worker for side, k in enumerate(self.sides) for worker in self.workers(side)
        }
        return sorted(registered.union(self._found))

    def side_of(self, key: bytes) -> int:
        """The side that a key belongs to."""
        return DEAD if key.startswith(self.sides[DEAD].processing("")[: -len("processing:")].encode()) else OWN

    def worker_of(self, key: bytes) -> bytes:
        """Id of the worker that a processing list belongs to."""
        return key[len(self.sides[self.side_of(key)].processing("")) :]

    def check_exists(self) -> None:
        """Raises QueueNotFoundError if neither side was created or has any key."""
        names = [name for k in self.sides for name in (k.meta, k.messages)]
        if self.broker.connection.execute("EXISTS", *names):
            return
        if not any(queue_problems(self.broker, k.queue) for k in self.sides):
            raise QueueNotFoundError(self.sides[OWN].queue)

    def suspects(self) -> list[bytes]:
        """Ids that may be in no place, in several places, or in a place without a message. Oldest first."""
        left, few = self._one_pass(), self.batch_size()
        for _ in range(_MAX_PASSES - 1):
            if len(left) <= few:
                break
            before = len(left)
            left &= self._one_pass()
            if len(left) > 0.9 * before:
                break  # it is damage, not movement
        return sorted(left)

    def _one_pass(self) -> set[bytes]:
        lists = self.lists()
        stored: list[set[bytes]] = []
        suspects: set[bytes] = set()
        for side, k in enumerate(self.sides):
            # In the direction in which messages move, so that few are missed: sets, then lists, held messages last.
            ids = set(self.field_names(k.messages))
            own_lists = [k.waiting.encode(), k.parked.encode(), *[key for key in lists if self.side_of(key) == side]]
            seen: set[bytes] = set()
            for page in (*self._members(k.delayed), *self._members(k.prioritized), *self._members(k.suspended)):
                suspects |= seen.intersection(page)
                seen.update(page)
            for key in own_lists:
                for page in self._elements(key):
                    fresh = set(page)
                    if len(fresh) < len(page):
                        suspects.update(one for one in fresh if page.count(one) > 1)
                    suspects |= seen & fresh
                    seen |= fresh
            suspects |= ids ^ seen
            suspects.update(one for one in self.field_names(k.attempts) if one not in ids)
            stored.append(ids)
        return suspects | (stored[OWN] & stored[DEAD])

    def field_names(self, key: str) -> Iterator[bytes]:
        """The names of the fields of a hash; one may come twice."""
        cursor: Any = 0
        while True:
            cursor, names = self.broker.scan_fields(key, cursor, HASH_PAGE)
            yield from names
            if int(cursor) == 0:
                return

    def _members(self, key: str) -> Iterator[list[bytes]]:
        cursor: Any = 0
        while True:
            cursor, flat = self.broker.connection.execute("ZSCAN", key, cursor, "COUNT", PAGE)
            yield list(dict.fromkeys(flat[::2]))
            if int(cursor) == 0:
                return

    def _elements(self, key: bytes) -> Iterator[list[bytes]]:
        # From the left, where ids enter: an id that enters during the scan only shifts the others to a later page.
        first = 0
        while True:
            page = self.broker.connection.execute("LRANGE", key, first, first + PAGE - 1)
            if page:
                yield page
            if len(page) < PAGE:
                return
            first += PAGE

    def locate(self, ids: Sequence[bytes]) -> list[MessageLocations]:
        """Locations of these ids. Each batch is read in one step."""
        found: list[MessageLocations] = []
        for batch in batches(ids, self.batch_size()):
            rows = self.with_lists(lambda lists: self.broker.locate(self.sides[OWN].queue, lists, batch))  # noqa: B023
            found += [self._locations(one, row) for one, row in zip(batch, rows)]
        return found

    def batch_size(self) -> int:
        """Number of ids that a script can search in all lists without a long block of the server."""
        keys = [key for k in self.sides for key in (k.waiting, k.parked)]
        length = sum(int(one) for one in self.broker.read_together(*[("LLEN", key) for key in keys]))
        return BATCH_LIMIT if length <= _SHORT else max(1, min(9, _MAX_COMPARED // length))

    def with_lists(self, call: Callable[[Sequence[bytes]], T | None]) -> T:
        """Make a call that needs all processing lists. Repeats it while it returns None, because a worker has come.

        Raises:
            BrokerUnavailableError: workers come so often that no call succeeds.
        """
        for _ in range(_TRIES):
            result = call(self.lists())
            if result is not None:
                return result
        raise BrokerUnavailableError("workers come and go too fast to read their lists")

    def _locations(self, message_id: bytes, row: Located) -> MessageLocations:
        found = tuple(Location(self.side_of(key), key, times) for key, times in row.locations)
        return MessageLocations(message_id, row.stored, row.has_attempts, found)
