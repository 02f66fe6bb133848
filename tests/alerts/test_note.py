"""What a watcher does next about an alert, as a table: no server, no clock."""

from __future__ import annotations

import pytest

from bizzmq.alerts.note import (
    BEGIN,
    BEGINNING,
    ENDING,
    MOST_TRIES,
    OVER,
    PENDING,
    RETRY_MS,
    SENT,
    UNSENT,
    Change,
    Look,
    Note,
    after_sending,
    next_step,
    read_note,
)

NOW, SEND = 1_000_000, 500
OLD = NOW - 10_000


def look(is_on: bool, hold_ms: int = 0) -> Look:
    return Look(is_on, NOW, hold_ms, SEND, "me")


def sending(phase: str, since_ms: int, tries: int = 1) -> Note:
    return Note(phase, since_ms, NOW + SEND, tries, "me")


SENT_NOTE, BUSY_BEGIN, BUSY_END = Note(SENT, OLD), Note(BEGINNING, OLD, NOW + 1, 1, "w"), Note(ENDING, OLD, NOW + 1, 1)
LATE_BEGIN, LATE_END = Note(BEGINNING, OLD, NOW, 1, "w"), Note(ENDING, OLD, NOW, 1, "w")
TABLE = {
    "nothing is wrong": (None, look(False), Change(None)),
    "it begins": (None, look(True), Change(sending(BEGINNING, NOW), BEGIN)),
    "it must hold first": (None, look(True, 60), Change(Note(PENDING, NOW))),
    "it does not hold long enough": (Note(PENDING, NOW - 59), look(True, 60), Change(Note(PENDING, NOW - 59))),
    "it has held": (Note(PENDING, NOW - 60), look(True, 60), Change(sending(BEGINNING, NOW - 60), BEGIN)),
    "it did not hold": (Note(PENDING, OLD), look(False), Change(None)),
    "it is sent already": (SENT_NOTE, look(True), Change(SENT_NOTE)),
    "it is over": (SENT_NOTE, look(False), Change(sending(ENDING, OLD), OVER)),
    "another watcher sends the beginning": (BUSY_BEGIN, look(True), Change(BUSY_BEGIN)),
    "it is over while another one sends that it begins": (BUSY_BEGIN, look(False), Change(BUSY_BEGIN)),
    "the other one has died": (LATE_BEGIN, look(True), Change(sending(BEGINNING, OLD, 2), BEGIN)),
    "the other one has died, and it is over": (LATE_BEGIN, look(False), Change(sending(ENDING, OLD), OVER)),
    "another watcher sends the end": (BUSY_END, look(False), Change(BUSY_END)),
    "that one has died": (LATE_END, look(False), Change(sending(ENDING, OLD, 2), OVER)),
    "it begins again while the end is sent": (BUSY_END, look(True), Change(BUSY_END)),
    "it begins again": (LATE_END, look(True), Change(sending(BEGINNING, NOW), BEGIN)),
    "not sent, and not yet again": (
        Note(UNSENT, OLD, NOW + 1, 1), look(True), Change(Note(UNSENT, OLD, NOW + 1, 1))),
    "not sent, now again": (Note(UNSENT, OLD, NOW, 1), look(True), Change(sending(BEGINNING, OLD, 2), BEGIN)),
    "what was not sent is over": (Note(UNSENT, OLD, NOW + 1, 1), look(False), Change(None)),
    "the clock was set back": (
        Note(PENDING, NOW + 9999), look(True, 60), Change(Note(PENDING, NOW))),
    "the clock was set back, and it is sent already": (
        Note(SENT, NOW + 9999), look(True, 60), Change(Note(SENT, NOW + 9999))),
    "the clock was set back, and it is over": (
        Note(SENT, NOW + 9999), look(False), Change(sending(ENDING, NOW + 9999), OVER)),
    "the clock was set back while another watcher sends the beginning": (
        Note(BEGINNING, NOW + 9, NOW + 9, 1, "w"), look(True), Change(Note(BEGINNING, NOW + 9, NOW + 9, 1, "w"))),
    "the clock was set back, and a watcher sends for years": (
        Note(BEGINNING, OLD, NOW + 10**9, 1, "w"), look(True), Change(sending(BEGINNING, OLD, 2), BEGIN)),
}  # fmt: skip


@pytest.mark.parametrize(("note", "seen", "change"), TABLE.values(), ids=[name.replace(" ", "-") for name in TABLE])
def test_the_next_step(note: Note | None, seen: Look, change: Change) -> None:
    assert next_step(note, seen) == change
    if change.after is not None:
        assert read_note(change.after.encode()) == change.after


@pytest.mark.parametrize(("note", "is_sent", "after"), [
    (sending(BEGINNING, OLD), True, Note(SENT, OLD, 0, 1, "me")),
    (sending(BEGINNING, OLD), False, Note(UNSENT, OLD, NOW + RETRY_MS, 1, "me")),
    (sending(ENDING, OLD), True, None),
    (sending(ENDING, OLD), False, Note(ENDING, OLD, NOW + RETRY_MS, 1, "me")),
    (sending(ENDING, OLD, MOST_TRIES), False, None),
])  # fmt: skip
def test_the_note_after_a_send(note: Note, is_sent: bool, after: Note | None) -> None:
    assert after_sending(note, is_sent, NOW) == after


@pytest.mark.parametrize(
    "stored", [b"", b"x 1 2 3 w", b"s -1 0 0 w", b"s 1 0 0", b"s 1 0 0 a b", b"s 1 0 0 \xff", b"s"]
)
def test_a_forged_note_is_none(stored: bytes) -> None:
    assert read_note(stored) is None
    assert next_step(read_note(stored), look(True)).send == BEGIN
