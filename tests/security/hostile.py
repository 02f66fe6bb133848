"""An attacker that writes arbitrary data into the keys of one queue: all types and fields, numbers, forged ids."""

from __future__ import annotations

import random
from typing import Any, Callable, List, Sequence, Tuple

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from bizzmq.testing.layout import Keys

NAMES = (
    "meta", "messages", "attempts", "waiting", "prioritized", "delayed", "parked", "supervisors", "workers", "releases",
    "wake", "stats",
)  # fmt: skip
NUMBERS: Tuple[bytes, ...] = (
    b"", b"x", b"0", b"-1", b"1e308", b"1e300", b"nan", b"inf", b"-inf", b"9223372036854775807",
    b"-9223372036854775808", b"9" * 400, b"1.5", b"0x10", b" 1", b"\xff\xfe", b"256",
)  # fmt: skip
FIELDS: Tuple[bytes, ...] = (
    b"max_retries", b"retry", b"retry_backoff_s", b"retry_backoff_max_s", b"timeout_s", b"shards", b"layout",
    b"dead_letter_ttl_s", b"dead_letter_limit",
    b"dead_letter", b"implicit", b"acked", b"published", b"missing", b"requeued", b"dead_lettered",
)  # fmt: skip
ATTEMPTS: Tuple[bytes, ...] = (
    b"0 0 0 0", b"0 0 0 1" + b"0" * 400, b"9999999999999999 0 0 0", b"0 2 0 0\t{\"a\":1e999}", b"0 0 0 -5", b"x", b"",
    b"0 0 0 0\t" + b"[" * 5000, b"1 1 1 9007199254740993",
)  # fmt: skip
ENVELOPES: Tuple[bytes, ...] = (
    b"", b"1\n", b"1\n{}", b"2\n{}", b'1\t{"timeout_s":1e300}\n{}', b'1\t{"retries":1e999}\n{}', b"1\n" + b"[" * 5000,
    b'1\t{}\t{"a":1e999}\n{}', b'1\t{"priority":1e30}\n{}', b"\xff" * 100, b'1\n{"do":"ok"}', b"x" * 100_000,
)  # fmt: skip


class Attacker:
    """Sends random commands from a seed. Commands that it is not permitted to send have no effect.

    Args:
        known: ids of messages of other clients.
    """

    def __init__(self, redis: Redis, queue: str, seed: int, known: Callable[[], Sequence[str]]) -> None:
        self._redis = redis
        self._random = random.Random(seed)
        self._known = known
        self._sides = [Keys(queue), Keys(f"{queue}_dlq")]
        self._forms: List[Callable[[str], Sequence[Any]]] = [
            self._hash, self._hash, self._hash, self._list, self._list, self._set, self._set, self._whole,
        ]  # fmt: skip
        self.done = self.refused = 0

    def strike(self) -> None:
        """Send one command."""
        side = self._random.choice(self._sides)
        key = str(getattr(side, self._random.choice(NAMES)))
        if self._random.random() < 0.1:
            key = side.processing(self._text().decode("latin-1")[:200])
        try:
            self._redis.execute_command(*self._random.choice(self._forms)(key))
            self.done += 1
        except ResponseError:
            self.refused += 1
        except RedisError:
            self._redis.connection_pool.disconnect()

    def _text(self) -> bytes:
        """An id, a text that resembles one, or any text."""
        known = self._known()
        one = self._random.choice(known).encode() if known else b"0" * 20
        forged = (one, one + b"x", one + b"\0", one[:-1], one[:-1] + b"\0", b"", b"a\nb", b"\xff" * 20, b"z" * 5000)
        return self._random.choice((*forged, *forged, *FIELDS, *NUMBERS))

    def _value(self, key: str) -> bytes:
        if key.endswith(":attempts"):
            return self._random.choice(ATTEMPTS)
        if key.endswith(":messages"):
            return self._random.choice(ENVELOPES)
        return self._random.choice((*NUMBERS, self._text()))

    def _field(self, key: str) -> bytes:
        return self._random.choice(FIELDS) if key.endswith((":meta", ":stats")) else self._text()

    def _hash(self, key: str) -> Sequence[Any]:
        form = self._random.random()
        if form < 0.75:
            return ("HSET", key, self._field(key), self._value(key))
        if form < 0.9:
            return ("HINCRBY", key, self._field(key), self._random.choice((1, -1, 2**63 - 1)))
        return ("HDEL", key, self._field(key))

    def _list(self, key: str) -> Sequence[Any]:
        form = self._random.random()
        if form < 0.8:
            return (self._random.choice(("LPUSH", "RPUSH")), key, self._text())
        return ("LREM", key, 0, self._text()) if form < 0.9 else ("LTRIM", key, 1, -1)

    def _set(self, key: str) -> Sequence[Any]:
        score = self._random.choice((0, -1, 1, "inf", "-inf", 1e308, 2**53, 1.5))
        return ("ZADD", key, score, self._text())

    def _whole(self, key: str) -> Sequence[Any]:
        return self._random.choice(
            (
                ("SET", key, "of the wrong type"), ("DEL", key), ("PEXPIRE", key, 5), ("RENAME", key, key + ":away"),
                ("SADD", key, self._text()), ("SADD", "bizzmq:queues", self._text()),
            )
        )  # fmt: skip
