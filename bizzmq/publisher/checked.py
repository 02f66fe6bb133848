"""What publishers do with messages that are unique or expire, and with queues of limited length."""

from __future__ import annotations

import logging
import zlib
from typing import Any, Iterable, Iterator, List, NamedTuple, Sequence

from bizzmq.broker.checked_publish import Terms
from bizzmq.errors import ConfigurationError
from bizzmq.message import MessageOptions
from bizzmq.properties import MAX_KEY_BYTES, checked_unique_key
from bizzmq.protocol.keys import is_dead_letter_queue
from bizzmq.publisher.pipeline import SHARD_BATCH_MESSAGES, batches
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.publisher")
_SILENT_S = 10.0
"""How long a publisher does not repeat that a queue drops messages, seconds."""


class PublishedIds(List[str]):
    """The ids that stand for published messages.

    Attributes:
        duplicates: the indexes of the messages whose unique key another message has: its id stands for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.duplicates: set[int] = set()


def needs_checks(options: MessageOptions) -> bool:
    """Whether messages with these options are published by `publish_checked`."""
    return options.unique_key != "" or options.expires_s is not None


def terms_of(options: MessageOptions, delay_ms: int) -> Terms:
    """What messages with these options have in common."""
    kept_until = options.unique_until if options.unique_for_s is None else f"{round(options.unique_for_s * 1000)}"
    expires_ms = 0 if options.expires_s is None else max(1, round(options.expires_s * 1000))
    return Terms(delay_ms, options.priority, expires_ms, kept_until, options.on_duplicate == "replace")


def unique_keys(queue: str, options: MessageOptions, bodies: Iterable[Any], count: int) -> Sequence[str]:
    """The unique key of each of `count` messages, "" for none; empty if no message has one.

    Raises:
        ConfigurationError: a function for keys returns something else than a key, or the queue is a dead-letter queue.
    """
    if needs_checks(options) and is_dead_letter_queue(queue):
        raise ConfigurationError(f"messages of the dead-letter queue {queue} can be neither unique nor expire")
    key = options.unique_key
    if isinstance(key, str):
        return [key] * count if key else ()
    return [_checked(key(body)) for body in bodies]


def _checked(key: Any) -> str:
    """What a function for keys returned. Most keys are short and plain."""
    if type(key) is str and len(key) <= MAX_KEY_BYTES and key.isascii() and key.isprintable():
        return key
    return checked_unique_key(key, "what unique_key returns")


class Part(NamedTuple):
    """Messages of one request.

    Attributes:
        first: the index of its first message in the publish.
        shard: the name of the shard; None for the next one in turn.
        unique_keys: of each message; empty if no message of the publish has one.
    """

    first: int
    shard: str | None
    unique_keys: Sequence[str]
    envelopes: Sequence[bytes]


def parts_of(keys: Sequence[str], envelopes: Sequence[bytes], shards: Sequence[str], first: int = 0) -> Iterator[Part]:
    """The messages in order, divided into requests. Messages of one unique key go to one shard.

    Args:
        first: the index of the first message to publish.
    """
    if len(shards) == 1 or not keys:
        shard = shards[0] if len(shards) == 1 else None
        for batch in batches(envelopes[first:] if first else envelopes, SHARD_BATCH_MESSAGES):
            yield Part(first, shard, keys[first : first + len(batch)], batch)
            first += len(batch)
        return
    while first < len(envelopes):
        shard, end = shard_for(keys[first], shards), first + 1
        while end < len(envelopes) and end - first < SHARD_BATCH_MESSAGES and shard_for(keys[end], shards) == shard:
            end += 1
        for batch in batches(envelopes[first:end], SHARD_BATCH_MESSAGES):
            yield Part(first, shard, keys[first : first + len(batch)], batch)
            first += len(batch)


def shard_for(key: str, shards: Sequence[str]) -> str | None:
    """The shard of messages with this unique key, of several; None if any will do."""
    return shards[zlib.crc32(key.encode("utf-8")) % len(shards)] if key else None


class DropLog:
    """Logs how many messages a publisher's queues have dropped, at most once in ten seconds for each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._silent_until_s: dict[str, float] = {}

    def note(self, queue: str, dropped: int) -> None:
        """Count dropped messages of a queue."""
        total = self._counts[queue] = self._counts.get(queue, 0) + dropped
        now_s = clock.monotonic()
        if now_s >= self._silent_until_s.get(queue, 0.0):
            self._silent_until_s[queue] = now_s + _SILENT_S
            self._counts[queue] = 0
            log(_logger, logging.WARNING, "a full queue has dropped its oldest messages", queue=queue, dropped=total)
