"""Dead letters without their bodies, read in pages."""

from __future__ import annotations

import calendar
import hashlib
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Mapping, NamedTuple, Sequence

from bizzmq.admin.listing import Cursor, Section, read_sections
from bizzmq.admin.paging.pages import IdList, Position
from bizzmq.admin.purge import check_exists
from bizzmq.admin.stored_message import DEAD_LETTERED
from bizzmq.broker.dead_letters import read_headers_call, read_headers_result
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Script, Together
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.fingerprint import Fingerprint, fingerprint_of
from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import decode_header
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import QueueKeys

UNREADABLE = "unreadable"
"""In place of the error's type, for a dead letter whose header is no header."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_DAY_S = 86400.0


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter without its body.

    Attributes:
        k: the keys of the shard of the dead-letter queue that has it.
        id: its id, as stored.
        place: the list or set that has it: `waiting`, `parked`, `prioritized` or `delayed`; "" if unknown.
        header: the stored header line.
        error: the record of its error; empty if it has none.
        task: the name of its task; "" for a plain message.
        key: its key; "" without one.
        priority: the priority with which it was published.
        problem: why the header is unreadable; "" if it is not.
    """

    k: QueueKeys
    id: bytes
    place: str
    header: bytes
    error: Mapping[str, Any]
    task: str = ""
    key: str = ""
    priority: int = 0
    problem: str = ""

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of its failure."""
        if self.problem:
            return fingerprint_of({"error_type": UNREADABLE})
        return fingerprint_of(self.error)

    @property
    def error_text(self) -> str:
        """The text of the error; why it is unreadable, for a dead letter that is."""
        text = self.problem or self.error.get("error", "")
        return text if isinstance(text, str) else ""

    @property
    def failed_at_s(self) -> float | None:
        """When it failed by the worker's clock, seconds since the epoch; None if that is not recorded."""
        return failed_at_s(self.error)

    def age_s(self, now_s: float) -> float | None:
        """How long ago it failed; None if nothing says when. See `dead_since_s`."""
        since_s = dead_since_s(self.id, self.failed_at_s, now_s)
        return None if since_s is None else now_s - since_s

    @property
    def version(self) -> str:
        """A digest of the header: another one when the message has failed again."""
        return version_of(self.header)


class LetterPage(NamedTuple):
    """Some dead letters, all ids of the page, and where the next page begins; None at the end."""

    letters: list[DeadLetter]
    ids: Sequence[bytes]
    following: Cursor | None


class SectionEnd(NamedTuple):
    """Where a section of a listing ended at one moment: how many ids it had, and the newest one of a list."""

    size: int
    newest: bytes | None


def read_letters(k: QueueKeys, cursor: Cursor, limit: int = BATCH_LIMIT) -> Operation[LetterPage]:
    """Up to `limit` (at most 100) dead letters that no worker holds, oldest first in each place of each shard.

    Args:
        k: the keys of the dead-letter queue.

    Raises:
        QueueNotFoundError: there is no such dead-letter queue.
    """
    where = yield from find_section(k, cursor)
    if where is None:
        return LetterPage([], (), None)
    shard, section, cursor = where
    page = yield from section.source.page(cursor.position, limit)
    letters = yield from read_of(shard, page.ids, section.place)
    if page.following is not None:
        return LetterPage(letters, page.ids, cursor._replace(position=page.following))
    return LetterPage(letters, page.ids, Cursor(cursor.shard, section.name + "z"))  # after this section


def find_section(k: QueueKeys, cursor: Cursor) -> Operation[tuple[QueueKeys, Section, Cursor] | None]:
    """The shard and section in which a cursor is, and the cursor in it; None at the end.

    Raises:
        QueueNotFoundError: there is no such dead-letter queue.
    """
    yield from check_exists(k)
    shards = yield from read_shards(k)
    for number in range(cursor.shard, len(shards)):
        for section in (yield from read_sections(shards[number], DEAD_LETTERED)):
            here = Cursor(number, section.name)
            if (number, section.name) == (cursor.shard, cursor.section):
                return shards[number], section, cursor
            if here[:2] > cursor[:2]:
                return shards[number], section, here._replace(position=Position())
    return None


def read_end(section: Section) -> Operation[SectionEnd]:
    """Where a section ends now."""
    source = section.source
    if not isinstance(source, IdList):
        return SectionEnd((yield from source.size()), None)
    size, newest = yield Together([("LLEN", source.key), ("LRANGE", source.key, 0, 0)])
    return SectionEnd(int(size), newest[0] if newest else None)


def read_of(k: QueueKeys, ids: Sequence[bytes], place: str = "") -> Operation[list[DeadLetter]]:
    """The dead letters of a shard with these ids (at most 100). Ids of messages that have just ended are left out."""
    if not ids:
        return []
    reply = yield Script("read_headers", read_headers_call(k, ids))
    found = zip(ids, read_headers_result(reply))
    return [letter_of(k, message_id, header, place) for message_id, header in found if header is not None]


def read_letter(k: QueueKeys, message_id: bytes) -> Operation[DeadLetter | None]:
    """The dead letter with this id in any shard of the dead-letter queue `k`; None without one.

    Raises:
        QueueNotFoundError: there is no such dead-letter queue.
    """
    yield from check_exists(k)
    for shard in (yield from read_shards(k)):
        for letter in (yield from read_of(shard, [message_id])):
            return letter
    return None


def letter_of(k: QueueKeys, message_id: bytes, header: bytes, place: str = "") -> DeadLetter:
    """The dead letter of a stored header. What is unreadable is left out."""
    try:
        read = decode_header(header[:-1], header[-1:])
    except DecodeError as error:
        return DeadLetter(k, message_id, place, header, {}, problem=str(error))
    properties = read.properties
    task = properties.task if properties is not None else ""
    key = properties.key if properties is not None else ""
    return DeadLetter(k, message_id, place, header, read.error or {}, task, key, read.priority)


def header_of(envelope: bytes) -> bytes:
    """The header line of an envelope, newline included."""
    return envelope[: envelope.find(b"\n") + 1] or envelope


def version_of(header: bytes) -> str:
    """The digest of a header, as the script `replay` computes it."""
    return hashlib.sha1(header).hexdigest()  # noqa: S324 - the digest that scripts have; it compares, it protects nothing


@lru_cache(maxsize=1024)
def _seconds(text: str) -> float | None:
    try:
        return float(calendar.timegm(time.strptime(text, _TIME)))
    except (ValueError, OverflowError):
        return None


def failed_at_s(record: Mapping[str, Any]) -> float | None:
    """The time of an error record, seconds since the epoch; None if it is missing or unreadable."""
    stored = record.get("failed_at")
    return _seconds(stored) if isinstance(stored, str) else None


def dead_since_s(message_id: bytes, failed_s: float | None, now_s: float) -> float | None:
    """Since when a message is a dead letter, as the script `expire_dead_letters` sees it; None if nothing says so.

    The later one of two times: when it failed by the worker's clock, and when it was published by Redis's clock. So a
    worker whose clock is behind makes no dead letter look older than its message. A time in the future does not count.
    """
    try:
        published_s = published_us(as_text(message_id)) / 1e6
    except DecodeError:
        published_s = None
    known = [one for one in (failed_s, published_s) if one is not None and one <= now_s + _DAY_S]
    return max(known) if known else None
