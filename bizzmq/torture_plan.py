"""What `bizzmq demo --torture` will do and when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.torture_deeds import CRASHES, FAILURES

KILL_WORKER, KILL_TEMPLATE, KILL_JANITOR = "kill a worker", "kill the template", "kill the janitor"
BREAK, MEND, RELOAD = "break the code", "mend the code", "reload"
ADD, REMOVE, STACKS, RESIZE = "add a worker", "remove a worker", "show stacks", "resize the terminal"
PAUSE, RESUME = "pause", "resume"
PUBLISH = "publish"

BROKEN = ("raises", "has a syntax error", "imports what is not there", "exits", "crashes", "hangs")
"""How the handler's module can be broken."""

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
"""The average time between two of a kind, seconds."""
_BROKEN_FOR_S, _BREAK_EVERY_S = 1.5, 8.0
_PAUSED_FOR_S, _PAUSE_EVERY_S = 0.7, 15.0
_HARMLESS_EVERY_S = {"litter": 6.0, "grow": 4.0}
_BAD_ONCE_EVERY_S, _BAD_ALWAYS_EVERY_S = 12.0, 30.0
_QUIET_S = 0.5
"""So long after the start nothing bad happens."""


@dataclass(frozen=True)
class Action:
    """Something to do `at_s` seconds after the start; `detail` is the message's body, or how to break the code."""

    at_s: float
    what: str
    detail: Any = None


@dataclass(frozen=True)
class Planned:
    """What is known of a published message."""

    deed: str
    always: bool

    @property
    def is_bad(self) -> bool:
        """Whether it is a failure or a death in at least its first delivery."""
        return self.deed in CRASHES or self.deed in FAILURES

    @property
    def dies(self) -> bool:
        """Whether it has to end in the dead-letter queue."""
        return self.is_bad and self.always


def body_of(deed: str, *, always: bool = False, ms: int = 0) -> Mapping[str, Any]:
    """The body of a message."""
    return {"deed": deed, "always": always, "ms": ms}


def harmless(rng: random.Random) -> Mapping[str, Any]:
    """A good message: most take no time or some milliseconds, a few take longer."""
    return body_of("work", ms=rng.choice((0, 0, 0, 0, 1, 5, 20, 20)) if rng.random() < 0.98 else 300)


def actions(seed: int, seconds: float) -> list[Action]:
    """Everything that is done to the pool, in order. Each kind comes at least once, however short the time is."""
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
        planned += [Action(at_s, BREAK, how[number % len(how)]), Action(at_s + _BROKEN_FOR_S, MEND)]
    for at_s in moments(_PAUSE_EVERY_S, _PAUSED_FOR_S):
        planned += [Action(at_s, PAUSE), Action(at_s + _PAUSED_FOR_S, RESUME)]
    for deed, every_s in _HARMLESS_EVERY_S.items():
        planned += [Action(at_s, PUBLISH, body_of(deed)) for at_s in moments(every_s)]
    for always, every_s in ((False, _BAD_ONCE_EVERY_S), (True, _BAD_ALWAYS_EVERY_S)):
        for deed in (*CRASHES, *FAILURES):
            planned += [Action(at_s, PUBLISH, body_of(deed, always=always)) for at_s in moments(every_s)]
    return sorted(planned, key=lambda action: action.at_s)
