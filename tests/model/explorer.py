"""Explores breadth-first all worlds that a set of rules allows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Optional, Set, Tuple

from tests.model.history import Broken, Executed, check_state, without_ended
from tests.model.numbers import renumbered
from tests.model.steps import steps
from tests.model.world import Rules, World, start

Origin = Optional[Tuple[World, str]]


@dataclass
class Exploration:
    """Result of an exploration. `taken` counts the worlds in which a worker has a message that a script has taken."""

    rules: Rules
    worlds: Dict[World, Origin] = field(default_factory=dict)
    executed: Set[Executed] = field(default_factory=set)
    steps: int = 0
    depth: int = 0
    taken: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{len(self.worlds)} states, {self.steps} steps, {self.depth} deep, "
            f"{len(self.executed)} different transitions"
        )

    def path(self, world: World) -> list[str]:
        """Steps from the start to this world."""
        path = []
        origin = self.worlds[world]
        while origin is not None:
            world, what = origin
            path.append(what)
            origin = self.worlds[world]
        return path[::-1]


def explore(rules: Rules) -> Exploration:
    """All reachable states. Raises Broken with the shortest path if a promise does not hold."""
    found = Exploration(rules)
    first = start(rules)
    found.worlds[first] = None
    layer = [first]
    while layer:
        found.depth += 1
        following = []
        for world in layer:
            try:
                following += _next_of(found, world)
            except Broken as broken:
                lines = [*found.path(world), f"then: {broken}"]
                raise Broken("\n".join(lines)) from broken
        layer = following
    return found


def _next_of(found: Exploration, world: World) -> list[World]:
    fresh = []
    for step in steps(world, found.rules):
        found.steps += 1
        if step.executed is not None:
            found.executed.add(step.executed)
        following = renumbered(without_ended(step.world))
        if following in found.worlds:
            continue
        found.worlds[following] = (world, step.what)
        found.taken.update({why for _, story in following.stories for _, why in story.taken_from})
        check_state(following)
        fresh.append(following)
    return fresh
