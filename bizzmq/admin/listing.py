"""Lists the messages of a queue in pages, by their state."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence, Union

from bizzmq.admin.message_filter import ALL, MessageFilter
from bizzmq.admin.paging.pages import ANCHORS, IdList, IdSet, Page, Position
from bizzmq.admin.paging.reversed_pages import ReversedList, ReversedSet
from bizzmq.admin.stored_message import (
    DEAD_LETTERED,
    DELAYED,
    PROCESSING,
    STATES,
    SUSPENDED,
    StoredMessage,
    stored_message,
)
from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_bytes, as_text, pairs
from bizzmq.errors import ConfigurationError, QueueNotFoundError
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.keys import QueueKeys
from bizzmq.validation import checks

MAX_PAGE = 1000
"""The most messages of a page."""
MAX_SEARCHED = 10_000
"""The most messages that are read for a page with a filter."""
_MAX_SECTIONS, _CHUNK = 200, 100


@dataclass(frozen=True)
class MessagePage:
    """A page of messages.

    Attributes:
        messages: the messages, in order. A page may have fewer than asked for, or none, before the last one.
        next: where the next page begins, for `after`; None if this is the last page.
    """

    messages: Sequence[StoredMessage]
    next: str | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"messages": [message.as_dict() for message in self.messages], "next": self.next}


class Section(NamedTuple):
    """A part of a listing: a list or set of a shard. `name` is unique in the shard, and in order."""

    name: str
    place: str
    source: Union[IdList, IdSet, ReversedList, ReversedSet]
    worker: str = ""


class Cursor(NamedTuple):
    """Where a page begins: the index of the shard, the section's name, and the position in it."""

    shard: int = 0
    section: str = ""
    position: Position = Position()


def read_page(
    k: QueueKeys,
    state: str,
    limit: int,
    after: str | None,
    skip: int = 0,
    *,
    shown: MessageFilter = ALL,
    newest_first: bool = False,
) -> Operation[MessagePage]:
    """A page of the messages of a queue in a state.

    Args:
        k: the queue's keys; for dead letters, those of the queue or of its dead-letter queue.
        skip: how many messages to leave out at the beginning, without `after`.
        shown: which messages are shown. A page ends after MAX_SEARCHED others.
        newest_first: in the opposite order.

    Raises:
        ConfigurationError: `after` comes from another listing.
        QueueNotFoundError, DecodeError
    """
    k = k.dead_letters() if state == DEAD_LETTERED else k
    listed = f"{state}, newest first" if newest_first else state
    cursor = decode_cursor(after, k.queue, listed)
    exists = yield command("EXISTS", k.meta)
    if not exists:
        raise QueueNotFoundError(k.queue)
    shards = yield from read_shards(k)
    run = _Run(limit, skip, shown)
    for number in range(cursor.shard, len(shards)):
        sections = yield from read_sections(shards[number], state)
        for section in map(_reversed, reversed(sections)) if newest_first else sections:
            position = Position()
            if number == cursor.shard and cursor.section:
                if (section.name > cursor.section) if newest_first else (section.name < cursor.section):
                    continue
                position = cursor.position if section.name == cursor.section else position
            if run.is_full:
                return run.page(encode_cursor(Cursor(number, section.name, position), k.queue, listed))
            rest = yield from run.read(shards[number], section, position)
            if rest is not None:
                return run.page(encode_cursor(Cursor(number, section.name, rest), k.queue, listed))
    return run.page(None)


class _Run:
    """Collects the messages of one page."""

    def __init__(self, limit: int, skip: int, shown: MessageFilter) -> None:
        self._limit, self._skip, self._shown = limit, skip, shown
        self._messages: list[StoredMessage] = []
        self._sections = self._searched = 0

    @property
    def is_full(self) -> bool:
        return len(self._messages) == self._limit or self._sections == _MAX_SECTIONS or self._searched >= MAX_SEARCHED

    def page(self, following: str | None) -> MessagePage:
        return MessagePage(self._messages, following)

    def read(self, k: QueueKeys, section: Section, position: Position) -> Operation[Position | None]:
        """Read from a section on; returns where the next page begins in it, None if it has been read to its end."""
        self._sections += 1
        if self._skip:
            size = yield from section.source.size()
            position, self._skip = Position(min(self._skip, size)), max(0, self._skip - size)
        while True:
            wanted = self._limit - len(self._messages)
            page = yield from section.source.page(position, wanted if self._shown.is_open else max(wanted, _CHUNK))
            found = yield from _read(k, section, page)
            fitting = [message for message in found if self._shown.shows(message)]
            if len(fitting) > wanted:  # read up to the last one that is wanted: the next page begins after it
                count = list(page.ids).index(as_bytes(fitting[wanted - 1].id)) + 1
                page = yield from section.source.page(position, count)
                fitting = fitting[:wanted]
            self._messages += fitting
            self._searched += len(page.ids)
            if page.following is None or self._shown.is_open or self.is_full:
                return page.following
            position = page.following


def read_sections(k: QueueKeys, state: str) -> Operation[list[Section]]:
    """The sections of a shard in which the messages of a state are, in the order of the listing."""
    waiting, parked = IdList(k.waiting, k.attempts), IdList(k.parked, k.attempts)
    if state == PROCESSING:
        flat = yield command("HGETALL", k.workers)
        names = sorted(as_text(worker) for worker, _ in pairs(flat))
        return [Section(name, PROCESSING, IdList(as_bytes(k.processing(name)), k.attempts), name) for name in names]
    if state == DELAYED:
        return [Section("1", "delayed", IdSet(k.delayed))]
    if state == SUSPENDED:
        return [Section("1", "suspended", IdSet(k.suspended))]
    if state == DEAD_LETTERED:
        return [
            Section("1", "waiting", waiting), Section("2", "parked", parked),
            Section("3", "prioritized", IdSet(k.prioritized)), Section("4", "delayed", IdSet(k.delayed)),
        ]  # fmt: skip
    return [  # as they are claimed
        Section("1", "prioritized", IdSet(k.prioritized, high=0.0)), Section("2", "waiting", waiting),
        Section("3", "prioritized", IdSet(k.prioritized, low=0.0)),
    ]  # fmt: skip


def _reversed(section: Section) -> Section:
    source = section.source
    if isinstance(source, IdList):
        return section._replace(source=ReversedList(source))
    return section._replace(source=ReversedSet(source)) if isinstance(source, IdSet) else section


def _read(k: QueueKeys, section: Section, page: Page) -> Operation[list[StoredMessage]]:
    """The messages of the ids of a page. Ids without a message are left out: it has just ended."""
    if not page.ids:
        return []
    reads = [("HMGET", k.messages, *page.ids), ("HMGET", k.attempts, *page.ids)]
    envelopes, attempts = yield Together(reads)
    return [
        stored_message(
            k, message_id, envelope, counts, section.place,
            due_ms=score if section.place == DELAYED else None, worker=section.worker,
        )
        for message_id, envelope, counts, score in zip(page.ids, envelopes, attempts, page.scores)
        if envelope is not None
    ]  # fmt: skip


def checked_state(k: QueueKeys, state: Any) -> str:
    """A state that messages of this queue can have. Raises ConfigurationError."""
    states = (DEAD_LETTERED, PROCESSING) if k.is_dead_letter_queue else STATES
    return checks.choice("state", state, states)


def checked_limit(limit: Any) -> int:
    """The number of messages of a page. Raises ConfigurationError."""
    return checks.integer("limit", limit, 1, MAX_PAGE)


def encode_cursor(cursor: Cursor, queue: str, state: str) -> str:
    """A cursor as text of letters, digits, `-` and `_`."""
    offset, score, anchors = cursor.position
    kept = [[as_text(message_id), delivery] for message_id, delivery in anchors]
    values = [queue, state, cursor.shard, cursor.section, offset, repr(score), kept]
    return base64.urlsafe_b64encode(json.dumps(values).encode("ascii")).decode("ascii").rstrip("=")


def decode_cursor(text: str | None, queue: str, state: str) -> Cursor:
    """The cursor of a text from `encode_cursor`; the beginning for None. Raises ConfigurationError."""
    if text is None:
        return Cursor()
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        of_queue, of_state, shard, section, offset, score, anchors = decode_body(data)
        if (of_queue, of_state) == (queue, state):
            kept = tuple((as_bytes(message_id), int(delivery)) for message_id, delivery in anchors[:ANCHORS])
            position = Position(_count(offset), _score(score), kept)
            return Cursor(_count(shard), str.__str__(section), position)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        pass
    raise ConfigurationError(
        f"after must be the `next` of a page of {queue!r} in the state {state}, not {checks.shown(text)}"
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError(value)
    return value


def _score(text: Any) -> float:
    score = float(str.__str__(text))
    if math.isnan(score):
        raise ValueError(text)
    return score
