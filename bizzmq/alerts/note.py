"""The note about an alert in Redis, and what a watcher does next. Decided without Redis and without a clock.

An alert is pending until it has held long enough. Then a watcher begins to send it, and has some time for that, after
which another watcher does. So an alert is sent once, unless a watcher dies between the send and the note of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

BEGIN, OVER = "begin", "over"
PENDING, BEGINNING, UNSENT, SENT, ENDING = "p", "b", "u", "s", "e"
"""The phases of an alert: it holds not yet long enough; a watcher sends its beginning; the beginning could not be sent;
it is sent; a watcher sends its end, or that could not be sent."""
MOST_TRIES = 60
"""An end that could not be sent in `n` tries is dropped."""
RETRY_MS = 60_000
"""What could not be sent is sent again after this time."""
_LONGEST_MS = 3_600_000
_NOTE = re.compile(rb"([pbuse]) ([0-9]{1,16}) ([0-9]{1,16}) ([0-9]{1,6}) ([A-Za-z0-9._:-]{0,200})")


class Note(NamedTuple):
    """What is noted about an alert. Times are milliseconds by Redis's clock.

    Attributes:
        phase: one of the phases.
        since_ms: since when it holds.
        until_ms: until when no other watcher sends it; 0 if none is sending.
        tries: how often it was sent, or its sending has failed, in this phase.
        watcher: the id of the watcher that is sending it, or has sent it.
    """

    phase: str
    since_ms: int
    until_ms: int = 0
    tries: int = 0
    watcher: str = ""

    def encode(self) -> bytes:
        """As it is stored."""
        return f"{self.phase} {self.since_ms} {self.until_ms} {self.tries} {self.watcher}".encode("ascii")

    @property
    def is_on(self) -> bool:
        """Whether the alert holds, and for long enough."""
        return self.phase in (BEGINNING, UNSENT, SENT)


class Change(NamedTuple):
    """What a watcher does about an alert.

    Attributes:
        after: the new note; None for no note.
        send: `begin` or `over` if the watcher has to send that, once the note is changed; else "".
    """

    after: Optional[Note]
    send: str = ""


class Look(NamedTuple):
    """What a watcher sees. Times are milliseconds.

    Attributes:
        is_on: whether the alert's condition holds.
        now_ms: Redis's clock.
        hold_ms: for how long it must hold before it is sent.
        send_ms: how long the watcher needs to send it.
        watcher: the id of the watcher.
    """

    is_on: bool
    now_ms: int
    hold_ms: int
    send_ms: int
    watcher: str


def read_note(stored: bytes) -> Optional[Note]:
    """The note as it is stored; None if there is none, or a forged one."""
    found = _NOTE.fullmatch(stored)
    if found is None:
        return None
    phase, since, until, tries, watcher = (part.decode("ascii") for part in found.groups())
    return Note(phase, int(since), int(until), int(tries), watcher)


def next_step(note: Optional[Note], look: Look) -> Change:
    """What to do about an alert. A change to the same note means nothing."""
    return _if_on(note, look) if look.is_on else _if_off(note, look)


def _if_on(note: Optional[Note], look: Look) -> Change:
    if note is None or (note.phase == PENDING and note.since_ms > look.now_ms):  # the clock was set back
        note = Note(PENDING, look.now_ms)
    if note.phase == SENT or _is_busy(note, look):
        return Change(note)
    if note.phase == PENDING and look.now_ms - note.since_ms < look.hold_ms:
        return Change(note)
    if note.phase == ENDING:  # it holds again, and its end was perhaps sent
        note = Note(PENDING, look.now_ms)
    return Change(_sending(note, BEGINNING, look), BEGIN)


def _if_off(note: Optional[Note], look: Look) -> Change:
    if note is None or note.phase in (PENDING, UNSENT):
        return Change(None)
    if _is_busy(note, look):
        return Change(note)
    return Change(_sending(note, ENDING, look), OVER)


def _is_busy(note: Note, look: Look) -> bool:
    """Whether a watcher is sending it, or waits before it tries again."""
    return note.phase != SENT and 0 < note.until_ms - look.now_ms <= _LONGEST_MS


def _sending(note: Note, phase: str, look: Look) -> Note:
    tries = note.tries + 1 if note.phase == phase or (note.phase == UNSENT and phase == BEGINNING) else 1
    return Note(phase, note.since_ms, look.now_ms + look.send_ms, tries, look.watcher)


def after_sending(note: Note, is_sent: bool, now_ms: int) -> Optional[Note]:
    """The note of an alert that the watcher has sent, or could not send; None for no note."""
    if note.phase == ENDING:
        is_dropped = is_sent or note.tries >= MOST_TRIES
        return None if is_dropped else note._replace(until_ms=now_ms + RETRY_MS)
    if is_sent:
        return note._replace(phase=SENT, until_ms=0)
    return note._replace(phase=UNSENT, until_ms=now_ms + RETRY_MS)
