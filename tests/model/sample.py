"""A sample of the model's transitions for a real server: some of each kind, equal in every run."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import lru_cache
from typing import Any, Iterable, Tuple

from tests.model.history import Executed
from tests.model.scenarios import QUICK, explored

LISTS = ("waiting", "prioritized", "due", "delayed", "dead")
PER_KIND = int(os.environ.get("BIZZMQ_TEST_PER_KIND", "1"))


@lru_cache(maxsize=None)
def transitions() -> Tuple[Executed, ...]:
    """The sample of all quick explorations."""
    return tuple(sample({executed for name in QUICK for executed in explored(name).executed}))


def sample(executed: Iterable[Executed]) -> list[Executed]:
    """At most `PER_KIND` of each kind, spread evenly."""
    kinds: dict[tuple[Any, ...], list[Executed]] = defaultdict(list)
    for one in executed:
        kinds[kind_of(one)].append(one)
    chosen: list[Executed] = []
    for several in kinds.values():
        chosen += sorted(several, key=repr)[:: -(-len(several) // PER_KIND)]
    return chosen


def kind_of(executed: Executed) -> tuple[Any, ...]:
    """Transitions of one kind take the same path through a script."""
    before, request, outcome = executed
    lists = [len(getattr(queue, place)) for queue in (before, outcome.queue) for place in LISTS]
    held = [len(queue.held(request.who)) for queue in (before, outcome.queue)]
    shape = [arg if isinstance(arg, (bool, int)) else len(arg) for arg in request.args]
    if request.script == "requeue":
        fate = request.args[0]
        shape = [fate.what, fate.outcome, bool(fate.running), bool(fate.last_finished), bool(fate.counter)]
    return (request.script, outcome.stats, outcome.wake, outcome.dead_wake, repr(outcome.reply)[:4],
            *lists, *held, *shape)  # fmt: skip
