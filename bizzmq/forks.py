"""What a forked child must not share with its parent: connections, and whatever numbers what it sends over them."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Something that starts anew in a forked child."""

    def forget(self) -> None: ...


_things: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def renew_in_children(thing: Forgetful) -> None:
    """Have `thing.forget()` called in each child that this process forks, as long as the thing lives."""
    _things.add(thing)


def descriptors() -> set[int]:
    """Those of all connections that a forked child opens anew: it may inherit them, and leaves them alone."""
    held = (getattr(thing, "descriptors", None) for thing in list(_things))
    return {number for ask in held if ask is not None for number in ask()}


def _forget_all() -> None:
    for thing in list(_things):
        thing.forget()


os.register_at_fork(after_in_child=_forget_all)
