"""The protocol of alerts: watchers that look, send and note, and what may happen to them between any two steps.

Notes and decisions are those of bizzmq/alerts/note.py; the script that changes a note is a comparison here. Times are
relative to Redis's clock, which stands at NOW_MS: time passes by moving the notes back.
"""

from __future__ import annotations

from collections import deque
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from bizzmq.alerts import note as notes
from bizzmq.alerts.note import BEGIN, OVER, PENDING, SENT, Look, Note
from tests.model.history import Broken

MINUTE_MS = 60_000
NOW_MS = 10**9
HOLD_MS = SEND_MS = 2 * MINUTE_MS
LONGEST_MS = 4 * MINUTE_MS
"""In place of an hour, so that there are fewer worlds: no watcher is believed to be sending for longer."""
JUMPS_MS = (-2 * MINUTE_MS, -6 * MINUTE_MS, 6 * MINUTE_MS)
IDLE, LOOKED, SENDING, DONE = "is idle", "has looked", "sends", "has sent"


class Watcher(NamedTuple):
    """Where a watcher is in its pass, and what it knows."""

    stage: str = IDLE
    is_on: bool = False
    note: Optional[Note] = None
    is_sent: bool = False

    @property
    def is_sending(self) -> bool:
        return self.stage in (SENDING, DONE)


class World(NamedTuple):
    """An alert and its watchers.

    Attributes:
        is_on: whether its condition holds.
        last: what was sent last; at first as if an end had been.
        spare: how often something may be sent again, because a fault has struck while a watcher was sending.
        is_late: whether a watcher may still send what is not true any more: it was suspended while it was sending.
        faults: how many may still strike.
    """

    watchers: Tuple[Watcher, ...]
    note: Optional[Note] = None
    is_on: bool = False
    last: str = OVER
    spare: int = 0
    is_late: bool = False
    faults: int = 1


Step = Tuple[str, World]


def explore(faults: int, watchers: int = 2) -> int:
    """The number of worlds that `faults` faults lead to. Raises Broken with the shortest path to a broken promise."""
    first = World((Watcher(),) * watchers, faults=faults)
    origins: Dict[World, Optional[Tuple[World, str]]] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        try:
            for what, following in steps(world):
                if following not in origins:
                    origins[following] = (world, what)
                    queue.append(following)
            check_end(world)
        except Broken as broken:
            raise Broken("\n".join([*_path(origins, world), f"then: {broken}"])) from broken
    return len(origins)


def _path(origins: Dict[World, Optional[Tuple[World, str]]], world: World) -> List[str]:
    path: List[str] = []
    origin = origins[world]
    while origin is not None:
        path.insert(0, origin[1])
        origin = origins[origin[0]]
    return path


def steps(world: World) -> Iterator[Step]:
    """All that may come next."""
    yield "the condition changes", world._replace(is_on=not world.is_on)
    for at, watcher in enumerate(world.watchers):
        yield f"watcher {at}, which {watcher.stage}, goes on", goes_on(world, at)
        if world.faults:
            yield from _faults_of(world, at)
    is_late = any(one.is_sending and _until_ms(one) <= NOW_MS + MINUTE_MS for one in world.watchers)
    if not is_late:
        yield "a minute passes", moved(world, MINUTE_MS)
    if world.faults:
        struck = _strike(world)
        if is_late:
            yield "the watchers are suspended", moved(struck, MINUTE_MS)
        for jump_ms in JUMPS_MS:
            yield f"the clock jumps by {jump_ms // MINUTE_MS} min", moved(struck, jump_ms)


def _faults_of(world: World, at: int) -> Iterator[Step]:
    watcher = world.watchers[at]
    fault = world._replace(faults=world.faults - 1)
    if watcher.is_sending:
        yield f"watcher {at}, which {watcher.stage}, dies", _with(fault._replace(spare=world.spare + 1), at, Watcher())
    if watcher.stage == SENDING:  # a failed end was perhaps sent, so that a beginning follows
        spare = world.spare + (_kind(watcher) == OVER)
        yield f"watcher {at} cannot send", _with(fault._replace(spare=spare), at, watcher._replace(stage=DONE))


def _strike(world: World) -> World:
    """A fault of the clock: a watcher that is sending may be too late. Then its send and the next one repeat others."""
    sending = sum(one.is_sending for one in world.watchers)
    is_late = world.is_late or sending > 0
    return world._replace(faults=world.faults - 1, spare=world.spare + 2 * sending, is_late=is_late)


def goes_on(world: World, at: int) -> World:
    """The next step of a watcher."""
    watcher = world.watchers[at]
    if watcher.stage == IDLE:
        return _with(world, at, Watcher(LOOKED, world.is_on, world.note))
    if watcher.stage == LOOKED:
        change = notes.next_step(watcher.note, Look(watcher.is_on, NOW_MS, HOLD_MS, SEND_MS, f"w{at}"))
        if change.after == watcher.note or world.note != watcher.note:
            return _with(world, at, Watcher())
        following = Watcher(SENDING, note=_limited(change.after)) if change.send else Watcher()
        return _with(world, at, following)._replace(note=_limited(change.after))
    if watcher.stage == SENDING:
        return _sent(_with(world, at, watcher._replace(stage=DONE, is_sent=True)), _kind(watcher))
    assert watcher.note is not None
    settled = notes.after_sending(watcher.note, watcher.is_sent, NOW_MS)
    settled_world = world._replace(note=_limited(settled)) if world.note == watcher.note else world
    return _with(settled_world, at, Watcher())


def _sent(world: World, kind: str) -> World:
    if kind == world.last:
        if not world.spare:
            raise Broken(f"{kind} is sent twice")
        world = world._replace(spare=world.spare - 1)
    return world._replace(last=kind)


def check_end(world: World) -> None:
    """Once nothing happens any more, what was sent last is true, and the note says so."""
    found = world._replace(spare=99)
    for at in range(len(world.watchers)):
        found = _until_idle(found, at)
    for _ in range(4):
        found = _until_idle(goes_on(moved(found, 120 * MINUTE_MS), 0), 0)
    if (found.note.phase if found.note else "") != (SENT if world.is_on else ""):
        raise Broken(f"in the end the note is {found.note}")
    if found.last != (BEGIN if world.is_on else OVER) and not world.is_late:
        raise Broken(f"in the end {found.last} was sent last")


def _until_idle(world: World, at: int) -> World:
    while world.watchers[at].stage != IDLE:
        world = goes_on(world, at)
    return world


def moved(world: World, by_ms: int) -> World:
    """The world after the clock has moved."""
    watchers = tuple(one._replace(note=_moved(one.note, by_ms)) for one in world.watchers)
    return world._replace(note=_moved(world.note, by_ms), watchers=watchers)


def _moved(note: Optional[Note], by_ms: int) -> Optional[Note]:
    if note is None:
        return None
    until_ms = max(NOW_MS, note.until_ms - by_ms) if note.until_ms else 0
    return _limited(note._replace(since_ms=max(NOW_MS - HOLD_MS, note.since_ms - by_ms), until_ms=until_ms))


def _limited(note: Optional[Note]) -> Optional[Note]:
    """Without what makes worlds differ for nothing: since when what is not pending holds, and the number of tries."""
    if note is None:
        return None
    since_ms = note.since_ms if note.phase == PENDING else min(max(NOW_MS, note.since_ms), NOW_MS + MINUTE_MS)
    return note._replace(since_ms=since_ms, tries=min(note.tries, 1))


def _with(world: World, at: int, watcher: Watcher) -> World:
    watchers = list(world.watchers)
    watchers[at] = watcher
    return world._replace(watchers=tuple(watchers))


def _kind(watcher: Watcher) -> str:
    assert watcher.note is not None
    return OVER if watcher.note.phase == notes.ENDING else BEGIN


def _until_ms(watcher: Watcher) -> int:
    assert watcher.note is not None
    return watcher.note.until_ms
