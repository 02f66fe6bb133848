"""State that a forked child must not share with its parent: connections, and the counters of numbered requests."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """An object that resets itself in a forked child."""

    def forget(self) -> None: ...


_objects: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def renew_in_children(item: ForkAware) -> None:
    """Call `item.forget()` in each child that this process forks, as long as the object exists."""
    _objects.add(item)


def descriptors() -> set[int]:
    """The descriptors of all connections that a forked child opens again: it inherits them but does not use them."""
    methods = (getattr(item, "descriptors", None) for item in list(_objects))
    return {number for method in methods if method is not None for number in method()}


def _forget_all() -> None:
    for item in list(_objects):
        item.forget()


os.register_at_fork(after_in_child=_forget_all)
