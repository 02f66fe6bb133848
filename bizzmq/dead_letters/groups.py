"""Groups of dead letters that failed in the same way."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Mapping, NamedTuple

from bizzmq.admin.listing import Cursor
from bizzmq.broker.operations import Operation, read_time_s
from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.fingerprint import Fingerprint
from bizzmq.dead_letters.letters import DeadLetter, read_letters
from bizzmq.protocol.keys import QueueKeys

MAX_GROUPS = 1000
"""The most groups that are told apart; the dead letters of further ones are counted in one group, `others`."""
OTHERS = "others"
_LONGEST = 200
_MOST_KEYS, _MOST_HOURS = 10, 48


@dataclass(frozen=True)
class DeadLetterGroup:
    """Dead letters with the same fingerprint.

    Attributes:
        fingerprint: 12 hex digits, of the error's type and the last frame of the user's code; `others` for the dead
            letters beyond the first 1,000 groups.
        error_type: the name of the error's type; "" for messages without an error record, such as those that were
            published to the dead-letter queue; `unreadable` for those whose header is no header.
        where: the last frame of the user's code, `tasks.py:12 in send`; "" without a traceback.
        error: the first line of the newest error's text.
        count: how many dead letters it has.
        first_failed_at_s, last_failed_at_s: when the first and the last of them failed, seconds since the epoch by the
            workers' clocks; None if that is not recorded.
        last_id: the id of the one that failed last.
        tasks: the names of their tasks, sorted, at most 10.
    """

    fingerprint: str
    error_type: str
    where: str
    error: str
    count: int
    first_failed_at_s: float | None
    last_failed_at_s: float | None
    last_id: str
    tasks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "tasks": list(self.tasks)}


class GroupDetails(NamedTuple):
    """More about a group, for people who look at it.

    Attributes:
        hours: how many of its dead letters failed in an hour, by the number of the hour since the epoch; the last 48
            of these hours, by the workers' clocks.
        keys: the keys of its dead letters, sorted, at most 10.
        has_more_keys: whether there are others.
    """

    hours: Mapping[int, int]
    keys: tuple[str, ...]
    has_more_keys: bool


class Grouping:
    """Groups the dead letters of a queue page by page. Its memory is bounded by the number of groups.

    Args:
        k: the keys of the queue or of its dead-letter queue.
        wanted: which dead letters count.

    Attributes:
        is_complete: whether all pages have been read.
        count: how many dead letters are in the groups.
    """

    def __init__(self, k: QueueKeys, wanted: LetterFilter) -> None:
        self._k = k.dead_letters()
        self._wanted = wanted
        self._cursor: Cursor | None = Cursor()
        self._groups: dict[str, _Group] = {}
        self.count = 0

    @property
    def is_complete(self) -> bool:
        return self._cursor is None

    def read_page(self) -> Operation[None]:
        """Read one page. Safe to repeat.

        Raises:
            QueueNotFoundError: there is no such dead-letter queue.
        """
        assert self._cursor is not None
        now_s = 0.0 if self._wanted.older_than_s is None else (yield from read_time_s())
        page = yield from read_letters(self._k, self._cursor)
        for letter in page.letters:
            if self._wanted.passes(letter, now_s):
                self._add(letter)
        self._cursor = page.following

    def end(self) -> None:
        """Read no more pages."""
        self._cursor = None

    def groups(self) -> list[DeadLetterGroup]:
        """The groups, largest first."""
        return sorted((group.value() for group in self._groups.values()), key=lambda group: -group.count)

    def sizes(self) -> dict[str, int]:
        """How many dead letters each group has, by its fingerprint. Cheap, also for many groups."""
        return {fingerprint: group.count for fingerprint, group in self._groups.items()}

    def group(self, fingerprint: str) -> DeadLetterGroup:
        """One of the groups."""
        return self._groups[fingerprint].value()

    def details(self, fingerprint: str) -> GroupDetails:
        """More about one of the groups."""
        return self._groups[fingerprint].details()

    def _add(self, letter: DeadLetter) -> None:
        fingerprint = letter.fingerprint
        if fingerprint.value not in self._groups and len(self._groups) >= MAX_GROUPS:
            fingerprint = Fingerprint(OTHERS, OTHERS, None)
        group = self._groups.setdefault(fingerprint.value, _Group(fingerprint))
        group.add(letter)
        self.count += 1


class _Group:
    def __init__(self, fingerprint: Fingerprint) -> None:
        self._fingerprint = fingerprint
        self.count = 0
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._last: DeadLetter | None = None
        self._tasks: set[str] = set()
        self._keys: set[str] = set()
        self._hours: Counter[int] = Counter()

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        failed_s = letter.failed_at_s
        if failed_s is not None:
            self._first_s = failed_s if self._first_s is None else min(self._first_s, failed_s)
        if self._last is None or (failed_s is not None and failed_s >= (self._last_s or failed_s)):
            self._last, self._last_s = letter, failed_s
        if letter.task and len(self._tasks) < 10:
            self._tasks.add(letter.task)
        if letter.key and len(self._keys) <= _MOST_KEYS:
            self._keys.add(letter.key)
        if failed_s is not None:
            self._add_hour(int(failed_s // 3600))

    def _add_hour(self, hour: int) -> None:
        self._hours[hour] += 1
        if len(self._hours) > 2 * _MOST_HOURS:
            self._hours = Counter({one: self._hours[one] for one in sorted(self._hours)[-_MOST_HOURS:]})

    def details(self) -> GroupDetails:
        keys = sorted(self._keys)
        return GroupDetails(dict(self._hours), tuple(keys[:_MOST_KEYS]), len(keys) > _MOST_KEYS)

    def value(self) -> DeadLetterGroup:
        assert self._last is not None
        frame = self._last.fingerprint.frame if self._fingerprint.value != OTHERS else None
        lines = self._last.error_text[:_LONGEST].splitlines()
        return DeadLetterGroup(
            self._fingerprint.value, self._fingerprint.error_type, "" if frame is None else str(frame),
            lines[0] if lines else "", self.count, self._first_s, self._last_s, as_text(self._last.id),
            tuple(sorted(self._tasks)),
        )  # fmt: skip
