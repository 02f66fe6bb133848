"""An alert is sent once when it begins and once when it is over, in every state that watchers and faults lead to.

A beginning or an end is repeated only if a watcher dies, or the clock jumps, between its send and the note of it.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

import pytest

from bizzmq.alerts import note
from bizzmq.alerts.note import BEGINNING, ENDING, PENDING, SENT, Change, Look, Note
from tests.model.alerts import LONGEST_MS, explore
from tests.model.history import Broken

Decide = Callable[[Optional[Note], Look], Change]
DECIDE: Decide = note.next_step
SETTLE = note.after_sending


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note, "_LONGEST_MS", LONGEST_MS)


@pytest.mark.parametrize("faults", [0, 1, pytest.param(2, marks=pytest.mark.nightly)])
def test_beginnings_and_ends_alternate_and_the_last_one_is_true(faults: int) -> None:
    worlds = explore(faults)

    print(f"{faults} faults: {worlds} worlds")  # noqa: T201 - for pytest's report
    assert worlds > 100


def _begins_again_when_the_clock_is_set_back(before: Optional[Note], look: Look) -> Change:
    is_later = before is not None and before.since_ms > look.now_ms
    return DECIDE(Note(PENDING, look.now_ms) if is_later and look.is_on else before, look)


def _waits_for_no_other_watcher(before: Optional[Note], look: Look) -> Change:
    is_busy = before is not None and before.phase in (BEGINNING, ENDING)
    return DECIDE(before._replace(until_ms=look.now_ms) if before is not None and is_busy else before, look)


def _waits_for_a_dead_watcher(before: Optional[Note], look: Look) -> Change:
    return Change(before) if before is not None and before.phase in (BEGINNING, ENDING) else DECIDE(before, look)


def _forgets_what_is_over(before: Optional[Note], look: Look) -> Change:
    return DECIDE(before, look) if look.is_on else Change(None)


def _notes_it_as_sent_before(before: Optional[Note], look: Look) -> Change:
    change = DECIDE(before, look)
    is_begin = change.after is not None and change.after.phase == BEGINNING
    return change._replace(after=change.after._replace(phase=SENT, until_ms=1)) if is_begin and change.after else change


BROKEN: Dict[str, Tuple[Decide, str]] = {
    "a sent alert begins again when the clock is set back": (_begins_again_when_the_clock_is_set_back, "sent"),
    "watchers do not wait for each other": (_waits_for_no_other_watcher, "sent"),
    "watchers wait for a dead one": (_waits_for_a_dead_watcher, "in the end"),
    "an end is not sent": (_forgets_what_is_over, "in the end"),
    "an alert is noted as sent before it is": (_notes_it_as_sent_before, "in the end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_protocol_is_detected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decide, promise = BROKEN[name]
    monkeypatch.setattr(note, "next_step", decide)

    with pytest.raises(Broken, match=promise):
        explore(1)
