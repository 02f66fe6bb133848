"""Lists dead letters that pass a filter, with their bodies."""

from __future__ import annotations

from typing import Any

from bizzmq.admin.listing import Cursor, MessagePage, decode_cursor, encode_cursor, read_page
from bizzmq.admin.stored_message import DEAD_LETTERED, StoredMessage, stored_message
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Together, read_time_s
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.letters import DeadLetter, LetterPage, read_letters
from bizzmq.protocol.keys import QueueKeys

MAX_EXAMINED = 10_000
"""A page ends after this many dead letters, however few of them pass."""


def list_letters(k: QueueKeys, wanted: LetterFilter, limit: int, after: str | None) -> Operation[MessagePage]:
    """A page of the dead letters that pass a filter. It may have fewer than asked for, or none, before the last one.

    Args:
        k: the keys of the queue or of its dead-letter queue.

    Raises:
        ConfigurationError: `after` comes from another listing.
        QueueNotFoundError: there is no such dead-letter queue.
    """
    if wanted.is_open:
        return (yield from read_page(k, DEAD_LETTERED, limit, after))
    dead = k.dead_letters()
    cursor: Cursor | None = decode_cursor(after, dead.queue, DEAD_LETTERED)
    now_s = 0.0 if wanted.older_than_s is None else (yield from read_time_s())
    found: list[StoredMessage] = []
    examined = 0
    while cursor is not None and len(found) < limit and examined < MAX_EXAMINED:
        page = yield from _read_passing(dead, cursor, wanted, now_s, limit - len(found))
        examined += max(1, len(page.ids))
        found += yield from _with_bodies(page.letters)
        cursor = page.following
    return MessagePage(found, None if cursor is None else encode_cursor(cursor, dead.queue, DEAD_LETTERED))


def _read_passing(
    dead: QueueKeys, cursor: Cursor, wanted: LetterFilter, now_s: float, limit: int
) -> Operation[LetterPage]:
    """The dead letters of one page that pass, at most `limit`: the page ends with the last one of them."""
    size = BATCH_LIMIT
    while True:
        page = yield from read_letters(dead, cursor, size)
        passing = [letter for letter in page.letters if wanted.passes(letter, now_s)]
        if len(passing) <= limit:
            return page._replace(letters=passing)
        size = page.ids.index(passing[limit - 1].id) + 1


def _with_bodies(letters: list[DeadLetter]) -> Operation[list[StoredMessage]]:
    """The stored messages of dead letters, which are all on one shard. Those that have just left are left out."""
    if not letters:
        return []
    k, ids = letters[0].k, [letter.id for letter in letters]
    envelopes: Any
    envelopes, attempts = yield Together([("HMGET", k.messages, *ids), ("HMGET", k.attempts, *ids)])
    return [
        stored_message(k, letter.id, envelope, counts, letter.place)
        for letter, envelope, counts in zip(letters, envelopes, attempts)
        if envelope is not None
    ]
