"""The plan of `bizzmq demo --torture`: what happens when, drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.demo.torture.handlers import CRASHES, FAILURES

KILL_WORKER, KILL_TEMPLATE, KILL_JANITOR = "kill a worker", "kill the template", "kill the janitor"
BREAK, REPAIR, RELOAD = "break the code", "repair the code", "reload"
ADD, REMOVE, STACKS, RESIZE = "add a worker", "remove a worker", "show stacks", "resize the terminal"
PAUSE, RESUME = "pause", "resume"
PUBLISH = "publish"

BROKEN = ("raises", "has a syntax error", "imports what is not there", "exits", "crashes", "hangs")
"""The ways in which the handler's module can be broken."""

_EVERY_S = {
    KILL_WORKER: 2.5,
    KILL_TEMPLATE: 12.0,
    KILL_JANITOR: 12.0,
    RELOAD: 10.0,
    ADD: 7.0,
    REMOVE: 7.0,
    STACKS: 9.0,
    RESIZE: 20.0,
}
"""The average time between two actions of a kind, seconds."""
_BROKEN_FOR_S, _BREAK_EVERY_S = 1.5, 8.0
_PAUSED_FOR_S, _PAUSE_EVERY_S = 0.7, 15.0
_HARMLESS_EVERY_S = {"litter": 6.0, "grow": 4.0}
_BAD_ONCE_EVERY_S, _BAD_ALWAYS_EVERY_S = 12.0, 30.0
_QUIET_S = 0.5
"""How long after the start there are no faults, seconds."""


@dataclass(frozen=True)
class Action:
    """An action `at_s` seconds after the start; `detail` is the message's body, or how to break the code."""

    at_s: float
    what: str
    detail: Any = None


@dataclass(frozen=True)
class PlannedMessage:
    """The planned behaviour of a published message; `always` means in each delivery."""

    behaviour: str
    always: bool

    @property
    def is_bad(self) -> bool:
        """Whether it fails or kills its worker, at least in its first delivery."""
        return self.behaviour in CRASHES or self.behaviour in FAILURES

    @property
    def must_be_dead_lettered(self) -> bool:
        """Whether it must end in the dead-letter queue."""
        return self.is_bad and self.always


def body_of(behaviour: str, *, always: bool = False, ms: int = 0) -> Mapping[str, Any]:
    """The body of a message."""
    return {"behaviour": behaviour, "always": always, "ms": ms}


def harmless(rng: random.Random) -> Mapping[str, Any]:
    """The body of a message that succeeds. Most take up to a few milliseconds, and some take longer."""
    return body_of("work", ms=rng.choice((0, 0, 0, 0, 1, 5, 20, 20)) if rng.random() < 0.98 else 300)


def actions(seed: int, seconds: float) -> list[Action]:
    """All actions, in order. Each kind occurs at least once, however short `seconds` is."""
    rng = random.Random(seed)
    planned: list[Action] = []

    def moments(every_s: float, lasts_s: float = 0.0) -> list[float]:
        count = max(1, round(seconds / every_s))
        share_s = (seconds - _QUIET_S) / count
        return [_QUIET_S + share_s * (i + rng.random() * max(0.0, 1 - lasts_s / share_s)) for i in range(count)]

    for what, every_s in _EVERY_S.items():
        planned += [Action(at_s, what) for at_s in moments(every_s)]
    how = rng.sample(BROKEN, len(BROKEN))
    for number, at_s in enumerate(moments(_BREAK_EVERY_S, _BROKEN_FOR_S)):
        planned += [Action(at_s, BREAK, how[number % len(how)]), Action(at_s + _BROKEN_FOR_S, REPAIR)]
    for at_s in moments(_PAUSE_EVERY_S, _PAUSED_FOR_S):
        planned += [Action(at_s, PAUSE), Action(at_s + _PAUSED_FOR_S, RESUME)]
    for behaviour, every_s in _HARMLESS_EVERY_S.items():
        planned += [Action(at_s, PUBLISH, body_of(behaviour)) for at_s in moments(every_s)]
    for always, every_s in ((False, _BAD_ONCE_EVERY_S), (True, _BAD_ALWAYS_EVERY_S)):
        for behaviour in (*CRASHES, *FAILURES):
            planned += [Action(at_s, PUBLISH, body_of(behaviour, always=always)) for at_s in moments(every_s)]
    return sorted(planned, key=lambda action: action.at_s)
