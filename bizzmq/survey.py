"""Looking at a queue from outside while it is in use: where every id is, in small steps.

A pass reads page by page, so what moves meanwhile may be seen twice or not at all: it only finds suspects. What
several passes agree on is then looked at in one step (`inspect`), and only that is believed.
"""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from bizzmq.broker import BATCH_LIMIT, Broker
from bizzmq.errors import BrokerUnavailableError, QueueNotFoundError
from bizzmq.keys import QueueKeys
from bizzmq.sight import DEAD, OWN, Place, Sight, batches, inspect_keys
from bizzmq.soundness import faults

PAGE, HASH_PAGE = 500, 200
_MOST_PASSES = 5
_TRIES = 50
_SHORT, _MOST_COMPARED = 300_000, 3_000_000
"""Lists of that many ids together are read through in 0.2 s. In longer ones few ids are searched for, for as long."""


class Survey:
    """Reads a queue and its dead-letter queue. Changes nothing."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self.broker = broker
        owner = broker.keys(broker.keys(queue).owner)
        self.sides: tuple[QueueKeys, QueueKeys] = (owner, owner.dead_letters())
        self._found = sorted(self._scan())

    def _scan(self) -> set[bytes]:
        """The keys of all processing lists that exist, their workers registered or not."""
        connection = self.broker.connection.at(self.sides[OWN].meta)
        pattern = self.sides[OWN].processing("*").replace("processing:", "*processing:")
        found: set[bytes] = set()
        cursor: Any = 0
        while True:
            cursor, keys = connection.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            prefixes = tuple(k.processing("").encode() for k in self.sides)
            # `processing:x}:publisher:y` is a key that a publisher may make, and no worker's.
            found.update(key for key in keys if key.startswith(prefixes) and key.count(b"}") == 1)
            if int(cursor) == 0:
                return found

    def workers(self, side: int) -> dict[bytes, bytes]:
        """Worker id -> supervisor id, of the registered ones."""
        flat = self.broker.connection.execute("HGETALL", self.sides[side].workers)
        return dict(zip(flat[::2], flat[1::2]))

    def lists(self) -> list[bytes]:
        """The processing lists that there may be now."""
        registered = {
            k.processing("").encode() + worker for side, k in enumerate(self.sides) for worker in self.workers(side)
        }
        return sorted(registered.union(self._found))

    def side_of(self, key: bytes) -> int:
        """Whose key it is."""
        return DEAD if key.startswith(self.sides[DEAD].processing("")[: -len("processing:")].encode()) else OWN

    def worker_of(self, key: bytes) -> bytes:
        """Whose processing list it is."""
        return key[len(self.sides[self.side_of(key)].processing("")) :]

    def exists(self) -> None:
        """Raises QueueNotFoundError if neither queue was created and there is no key of them."""
        names = [name for k in self.sides for name in (k.meta, k.messages)]
        if self.broker.connection.execute("EXISTS", *names):
            return
        if not any(faults(self.broker, k.queue) for k in self.sides):
            raise QueueNotFoundError(self.sides[OWN].queue)

    def suspects(self) -> list[bytes]:
        """Ids that may be in no place, in several, or in a place without a message; sorted by their age."""
        left, few = self._one_pass(), self.batch_size()
        for _ in range(_MOST_PASSES - 1):
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
            # In the direction in which messages move: so few escape. Sets first, then lists, held ones last.
            ids = set(self._fields(k.messages))
            own_lists = [k.waiting.encode(), k.parked.encode(), *[key for key in lists if self.side_of(key) == side]]
            seen: set[bytes] = set()
            for page in (*self._members(k.delayed), *self._members(k.prioritized)):
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
            suspects.update(one for one in self._fields(k.attempts) if one not in ids)
            stored.append(ids)
        return suspects | (stored[OWN] & stored[DEAD])

    def _fields(self, key: str) -> Iterator[bytes]:
        cursor: Any = 0
        while True:
            cursor, names = self.broker.run("fields", [key], cursor, HASH_PAGE)
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
        # From the left, where ids enter: who enters meanwhile only makes us read some twice.
        first = 0
        while True:
            page = self.broker.connection.execute("LRANGE", key, first, first + PAGE - 1)
            if page:
                yield page
            if len(page) < PAGE:
                return
            first += PAGE

    def inspect(self, ids: Sequence[bytes]) -> list[Sight]:
        """Where these ids are, each batch of them in one step."""
        found: list[Sight] = []
        for batch in batches(ids, self.batch_size()):
            reply = self.run("inspect", inspect_keys(self.sides), *batch)
            found += [self._sight(one, row) for one, row in zip(batch, reply[1:])]
        return found

    def batch_size(self) -> int:
        """How many ids a script may look for in all lists without holding up the server."""
        keys = [key for k in self.sides for key in (k.waiting, k.parked)]
        length = sum(int(one) for one in self.broker.look(*[("LLEN", key) for key in keys]))
        return BATCH_LIMIT if length <= _SHORT else max(1, min(9, _MOST_COMPARED // length))

    def run(self, name: str, key_names: Sequence[Any], *args: Any) -> Any:
        """Run a script that wants all processing lists, again if a worker has come meanwhile."""
        for _ in range(_TRIES):
            reply = self.broker.run(name, [*key_names, *self.lists()], *args)
            if (reply[0] if isinstance(reply, list) else reply) != -2:
                return reply
        raise BrokerUnavailableError("workers come and go too fast to look at what they hold")

    def _sight(self, message_id: bytes, row: Sequence[Any]) -> Sight:
        stored_own, stored_dead, counted_own, counted_dead = map(bool, row[:4])
        places = tuple(Place(self.side_of(key), key, times) for key, times in zip(row[4::2], row[5::2]))
        return Sight(message_id, (stored_own, stored_dead), (counted_own, counted_dead), places)
