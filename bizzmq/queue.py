"""The options of a queue, and its counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Mapping

from bizzmq.errors import DecodeError
from bizzmq.message import MAX_DELAY_S
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

LAYOUT_VERSION = 1
MAX_SHARDS = 256
MAX_RETRIES = 10**15 - 1
"""The largest number of retries: the stored attempts of a message have room for 15 digits."""
MAX_LENGTH = 10**15 - 1
WHEN_FULL = ("refuse", "drop-oldest")
_COUNT = re.compile(r"[0-9]{1,100}\Z")
_SECONDS = re.compile(r"[0-9.eE+-]{1,100}\Z")
_LEAST = 5e-324  # the smallest number above 0: every valid option can be stored
NO_LIMIT = ", or None for no limit"


@dataclass(frozen=True, init=False)
class QueueOptions:
    """The options of a queue. They are stored when it is created; `BizzMQ.update_queue` changes them.

    Args:
        config_dead_letter_queue: move messages that cannot be handled to the dead-letter queue `NAME_dlq`. Otherwise
            they are discarded.
        max_retries: how often a message is retried after its first failure.
        retry: the retry count with which the queue's messages start.
        retry_backoff_s: the wait before the first retry, seconds or a timedelta. It doubles with each retry; 0 retries
            at once.
        retry_backoff_max_s: the longest wait before a retry, seconds or a timedelta.
        timeout_s: the time limit of one delivery, seconds or a timedelta; None sets no limit.
        shards: into how many shards the queue is divided, from 1 to 256. Shards can be on different nodes of a
            cluster. Messages keep their order only within a shard.
        dead_letter_ttl_s: delete dead letters of the queue this long after they have failed, seconds or a timedelta;
            None keeps them.
        dead_letter_limit: the most dead letters of the queue; the oldest beyond it are deleted. Each shard has an equal
            part of the number. None sets no limit.
        max_length: how many messages may wait in each shard, delayed ones and retries included; None sets no limit.
            Publishing looks at it, nothing else does.
        when_full: what publishing to a full queue does: `refuse` raises QueueFullError, `drop-oldest` ends the oldest
            messages that wait, those of low priorities first.
        dead_letter_expired: move messages that have expired to the dead-letter queue. Otherwise they just end.
        history: note what happens to each message, for `BizzMQ.history` and `bizzmq show`. It costs each transition of
            a message a few commands. A dead-letter queue follows its queue.

    Raises:
        ConfigurationError: a value has the wrong type or is out of range.
    """

    config_dead_letter_queue: bool
    max_retries: int
    retry: int
    retry_backoff_s: float
    retry_backoff_max_s: float
    timeout_s: float | None
    shards: int
    dead_letter_ttl_s: float | None
    dead_letter_limit: int | None
    max_length: int | None
    when_full: str
    dead_letter_expired: bool
    history: bool

    def __init__(
        self,
        config_dead_letter_queue: bool = False,
        max_retries: int = 3,
        retry: int = 0,
        retry_backoff_s: Seconds = 0.5,
        retry_backoff_max_s: Seconds = 300.0,
        timeout_s: Seconds | None = None,
        shards: int = 1,
        *,
        dead_letter_ttl_s: Seconds | None = None,
        dead_letter_limit: int | None = None,
        max_length: int | None = None,
        when_full: str = "refuse",
        dead_letter_expired: bool = False,
        history: bool = False,
    ) -> None:
        given = self.__dict__  # frozen: set once, here
        given["config_dead_letter_queue"] = checks.flag("config_dead_letter_queue", config_dead_letter_queue)
        given["max_retries"] = checks.integer("max_retries", max_retries, 0)
        given["retry"] = checks.integer("retry", retry, 0, MAX_RETRIES)
        given["retry_backoff_s"] = checks.seconds("retry_backoff_s", retry_backoff_s)
        given["retry_backoff_max_s"] = checks.seconds("retry_backoff_max_s", retry_backoff_max_s)
        limit_s = (
            checks.seconds("timeout_s", timeout_s, above=True, otherwise=NO_LIMIT) if timeout_s is not None else None
        )
        given["timeout_s"] = limit_s
        given["shards"] = checks.integer("shards", shards, 1, MAX_SHARDS)
        given["dead_letter_ttl_s"] = given["dead_letter_limit"] = None
        if dead_letter_ttl_s is not None:
            ttl_s = checks.seconds("dead_letter_ttl_s", dead_letter_ttl_s, above=True, otherwise=NO_LIMIT)
            given["dead_letter_ttl_s"] = ttl_s
        if dead_letter_limit is not None:
            limit = checks.integer("dead_letter_limit", dead_letter_limit, 1, MAX_RETRIES, otherwise=NO_LIMIT)
            given["dead_letter_limit"] = limit
        longest = None if max_length is None else checks.integer("max_length", max_length, 1, MAX_LENGTH, NO_LIMIT)
        given["max_length"] = longest
        given["when_full"] = checks.choice("when_full", when_full, WHEN_FULL)
        given["dead_letter_expired"] = checks.flag("dead_letter_expired", dead_letter_expired)
        given["history"] = checks.flag("history", history)

    def difference(self, stored: QueueOptions) -> str:
        """The options whose stored values differ from these, with both values; "" if there are none."""
        kept = self.as_stored()
        return "; ".join(
            f"{field.name}: asked {getattr(kept, field.name)!r}, stored {getattr(stored, field.name)!r}"
            for field in fields(self)
            if getattr(kept, field.name) != getattr(stored, field.name)
        )

    def as_stored(self) -> QueueOptions:
        """These options after storing and reading them, which limits values to the bounds of stored options."""
        return QueueOptions.from_meta(self.to_meta())

    def to_meta(self) -> dict[str, str]:
        """These options as fields of the queue's meta hash."""
        return {
            "layout": str(LAYOUT_VERSION),
            "dead_letter": "1" if self.config_dead_letter_queue else "0",
            "max_retries": str(int(self.max_retries)),
            "retry": str(int(self.retry)),
            "retry_backoff_s": repr(float(self.retry_backoff_s)),
            "retry_backoff_max_s": repr(float(self.retry_backoff_max_s)),
            "timeout_s": "" if self.timeout_s is None else repr(float(self.timeout_s)),
            **({"shards": str(int(self.shards))} if self.shards > 1 else {}),
            "dead_letter_ttl_s": "" if self.dead_letter_ttl_s is None else repr(float(self.dead_letter_ttl_s)),
            "dead_letter_limit": "" if self.dead_letter_limit is None else str(int(self.dead_letter_limit)),
            "max_length": "" if self.max_length is None else str(int(self.max_length)),
            "when_full": self.when_full,
            "dead_letter_expired": "1" if self.dead_letter_expired else "0",
            "history": "1" if self.history else "0",
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, str]) -> QueueOptions:
        """The options stored in a meta hash. Stored options are checked here and nowhere else.

        A missing field has its default. A value beyond a bound, such as 1e300 seconds, becomes the bound.

        Raises:
            DecodeError: a field is invalid, or the layout has another version. The text names the field.
        """
        if meta.get("layout", str(LAYOUT_VERSION)) != str(LAYOUT_VERSION):
            raise _unreadable("layout", meta["layout"], f"{LAYOUT_VERSION}: a newer release created this queue")
        default = cls()
        return cls(
            config_dead_letter_queue=_flag(meta, "dead_letter"),
            max_retries=_count(meta, "max_retries", default.max_retries),
            retry=_count(meta, "retry", default.retry),
            retry_backoff_s=_seconds(meta, "retry_backoff_s", default.retry_backoff_s),
            retry_backoff_max_s=_seconds(meta, "retry_backoff_max_s", default.retry_backoff_max_s),
            timeout_s=_seconds(meta, "timeout_s", 0.0, least=_LEAST) if meta.get("timeout_s") else None,
            shards=stored_shards(meta.get("shards", "1")),
            dead_letter_ttl_s=(
                _seconds(meta, "dead_letter_ttl_s", 0.0, least=_LEAST) if meta.get("dead_letter_ttl_s") else None
            ),
            dead_letter_limit=(max(1, _count(meta, "dead_letter_limit", 1)) if meta.get("dead_letter_limit") else None),
            max_length=max(1, _count(meta, "max_length", 1)) if meta.get("max_length") else None,
            when_full=_word(meta, "when_full", WHEN_FULL),
            dead_letter_expired=_flag(meta, "dead_letter_expired"),
            history=_flag(meta, "history"),
        )


def stored_shards(stored: str) -> int:
    """The number of shards from its stored text; "" means 1. Raises DecodeError."""
    number = int(stored or "1") if len(stored) < 4 and (stored or "1").isdecimal() and stored.isascii() else 0
    if not 1 <= number <= MAX_SHARDS:
        raise _unreadable("shards", stored, f"a number from 1 to {MAX_SHARDS}")
    return number


def _flag(meta: Mapping[str, str], name: str) -> bool:
    stored = meta.get(name, "0")
    if stored not in ("0", "1"):
        raise _unreadable(name, stored, "0 or 1")
    return stored == "1"


def _word(meta: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """One of the words; the first one is the default."""
    stored = meta.get(name, words[0])
    if stored not in words:
        raise _unreadable(name, stored, " or ".join(words))
    return stored


def _count(meta: Mapping[str, str], name: str, default: int) -> int:
    stored = meta.get(name, str(default))
    if not _COUNT.match(stored):
        raise _unreadable(name, stored, "a whole number, 0 or more")
    return min(int(stored), MAX_RETRIES)


def _seconds(meta: Mapping[str, str], name: str, default: float, least: float = 0.0) -> float:
    stored = meta.get(name, repr(default))
    try:
        seconds = float(stored) if _SECONDS.match(stored) else -1.0
    except ValueError:
        seconds = -1.0
    if not seconds >= least:
        raise _unreadable(name, stored, "a number of seconds")
    return min(seconds, MAX_DELAY_S)


def _unreadable(name: str, stored: str, wanted: str) -> DecodeError:
    return DecodeError(f"a queue's stored option {name} is {stored[:80]!r} and must be {wanted}")


@dataclass(frozen=True)
class QueueStats:
    """The counts of a queue at one moment.

    `waiting` (of all priorities), `delayed`, `processing` and `dead_lettered` count the messages that exist now.
    `dead_lettered` counts the messages in the queue's dead-letter queue; for a dead-letter queue, its parked messages,
    which its own handler could not handle either.

    All others are totals since the queue was created. `dead_lettered_total` and `replayed` have the same values for a
    queue and its dead-letter queue: how many messages moved to the dead-letter queue, and back. `missing` counts ids
    that were skipped because no message was stored for them, `written_off` losses that an operator has accepted, and
    `unreadable` the counters that are not numbers and count as 0. `expired` counts messages that were not started in
    time and not dead-lettered; for a dead-letter queue, dead letters that were older or more than the options of their
    queue allow. `dropped` counts those that a full queue has ended, and `duplicates` those that were not stored because
    another message had their unique key.

    This always holds for a queue::

        published + replayed = waiting + delayed + suspended + processing
                               + acked + discarded + purged + cancelled + expired + dropped
                               + dead_lettered_total + written_off + unaccounted

    And for a dead-letter queue::

        published + dead_lettered_total = waiting + delayed + processing + dead_lettered
                                          + acked + discarded + purged + cancelled + expired + dropped
                                          + replayed + written_off + unaccounted

    `unaccounted` is 0 unless another program has written to these keys, or Redis has evicted some. It is positive if
    messages are missing, and negative if there are messages that were not published. `bizzmq audit` finds them.
    """

    waiting: int = 0
    delayed: int = 0
    suspended: int = 0
    processing: int = 0
    dead_lettered: int = 0
    published: int = 0
    acked: int = 0
    retried: int = 0
    requeued: int = 0
    discarded: int = 0
    dead_lettered_total: int = 0
    purged: int = 0
    cancelled: int = 0
    expired: int = 0
    replayed: int = 0
    missing: int = 0
    dropped: int = 0
    duplicates: int = 0
    written_off: int = 0
    unaccounted: int = 0
    unreadable: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
