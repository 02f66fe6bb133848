"""What can be wrong with a value or with an annotation, as exceptions that name neither a task nor a parameter."""

from __future__ import annotations

from typing import Any

from bizzmq.errors import Draining, MessageCancelled, MessageTimeout, Reject, RetryLater
from bizzmq.protocol import nesting
from bizzmq.validation.checks import shown

TOO_DEEP = f"is {nesting.TOO_DEEP}, or contains itself"
INTERRUPTIONS = (MemoryError, Draining, MessageCancelled, MessageTimeout, Reject, RetryLater)
"""Exceptions that say nothing about the value that is being converted: limits, and instructions of handlers."""

_MAX_PATH = 80
"""The most characters of a path, so that an error is a line."""
_ARRAYS = ("numpy", "torch", "jax", "jaxlib")


class Unfit(Exception):  # noqa: N818 - never leaves the package
    """A value does not fit its annotation, or JSON would change it.

    Attributes:
        problem: what follows the value's name in a sentence: `must be int, not str`.
        path: the place inside the value, as Python writes it: `[3].size`.
    """

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def within(self, step: str) -> Unfit:
        """The same problem, seen from the container: `step` leads to the part that has it."""
        path = step + self.path
        return Unfit(self.problem, path if len(path) <= _MAX_PATH else path[:_MAX_PATH] + "...")


class Unconvertible(Exception):  # noqa: N818 - never leaves the package
    """An annotation has no conversion. The text says why."""


def item(key: Any) -> str:
    """The step to an item of a container, for a path: `[3]`, `['name']`."""
    return f"[{shown(key)}]"


def named(kind: Any) -> str:
    """The name of a type or an annotation as users write it: `int`, `Dict[str, date]`, `None`."""
    if kind is None or kind is type(None):
        return "None"
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    if isinstance(kind, type) and not getattr(kind, "__args__", None):
        return kind.__qualname__
    return shown(kind).replace("typing_extensions.", "").replace("typing.", "")


def with_article(kind: type) -> str:
    """`a list`, `an int`, `None`."""
    name = named(kind)
    return name if name == "None" else f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"


def mismatch(wanted: Any, value: Any) -> Unfit:
    """A value has another type than its annotation."""
    text = f"must be {named(wanted)}, not {named(type(value))}"
    return Unfit(f"{text}: {_ITEM}" if _is_array(type(value)) else text)


def no_json(value: Any) -> Unfit:
    """A value has no annotation that would bring it back, and JSON lacks its type or would change it."""
    kind = type(value)
    if isinstance(value, tuple):
        fact = f"is {with_article(kind)}, which would arrive as a list"
    elif isinstance(value, (str, int, float, dict, list)):
        base = next(base for base in (str, int, float, dict, list) if isinstance(value, base))
        fact = f"is {with_article(kind)}, which would arrive as {with_article(base)}"
    else:
        fact = f"is {with_article(kind)}, which JSON does not have"
    return Unfit(f"{fact}: {_ITEM if _is_array(kind) else 'annotate it with its type, or pass what JSON has'}")


_ITEM = "convert it with .item() or .tolist()"


def _is_array(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _ARRAYS
