"""Checks of what users give: each returns the value in its own type, or raises one sentence of one shape.

`NAME must be ALLOWED, not VALUE`: as a ConfigurationError. Nothing is rounded or cut to fit. Numbers of other
libraries (numpy's, Decimal, Fraction) count where they say exactly what is meant, booleans and texts never do.
"""

from __future__ import annotations

import math
import numbers
import os
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Callable, Collection, Iterable, Mapping, NoReturn, Type, TypeVar, Union

from bizzmq.error_base import ConfigurationError

T = TypeVar("T")
Seconds = Union[float, timedelta]

MAX_S = 100 * 365 * 86400.0
"""100 years: no time that is given may be longer."""
MAX_INTEGER = 2**63 - 1
_SHOWN = 80


def refuse(name: str, allowed: str, value: Any) -> NoReturn:
    """Raise the sentence."""
    raise ConfigurationError(f"{name} must be {allowed}, not {shown(value)}")


def shown(value: Any) -> str:
    """A value as an error shows it: at most 80 characters of one line."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - integers of more than 4,300 digits, and whatever a user's class does
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def integer(name: str, value: Any, least: int, most: int = MAX_INTEGER, otherwise: str = "") -> int:
    """A whole number from `least` to `most`. `otherwise` says what else is allowed."""
    if type(value) is int and least <= value <= most:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or _is_time(value):
        refuse(name, f"an integer, {_bounds(least, most)}{otherwise}", value)
    found = int(value)
    if not least <= found <= most:
        refuse(name, (f"between {least} and {most}" if found > most else _bounds(least, most)) + otherwise, value)
    return found


def number(
    name: str, value: Any, least: float, most: float = math.inf, *, above: bool = False, kind: str = "a number, ",
    otherwise: str = "",
) -> float:  # fmt: skip
    """A finite number from `least` to `most`, or `above` the least."""
    bounds = _bounds(least, most, above) + otherwise
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)) or _is_time(value):
        refuse(name, kind + bounds, value)
    try:
        found = float(value)
    except (OverflowError, ValueError, TypeError):
        refuse(name, bounds, value)
    if not (least < found if above else least <= found) or not found <= most or math.isinf(found):
        refuse(name, bounds, value)
    return found


def seconds(
    name: str, value: Any, least: float = 0.0, most: float = MAX_S, *, above: bool = False, otherwise: str = ""
) -> float:
    """Seconds from a number or a timedelta."""
    if type(value) is float and least <= value <= most and (value != least or not above):
        return value
    given = value.total_seconds() if isinstance(value, timedelta) and _is_plain(value) else value
    kind = "a number of seconds or a timedelta, "
    return number(name, given, least, most, above=above, kind=kind, otherwise=otherwise)


def moment(name: str, value: datetime) -> float:
    """Seconds since the epoch of a datetime that says its time zone."""
    if value.utcoffset() is None:
        aware = "a datetime with a time zone, such as datetime.now(timezone.utc): without one it means several moments"
        refuse(name, aware, value)
    return value.timestamp()


def flag(name: str, value: Any) -> bool:
    """A bool; 0 and 1 are, too."""
    if isinstance(value, bool) or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    refuse(name, "True or False", value)


def text(name: str, value: Any, what: str = "a text") -> str:
    """A str; one of a subclass, such as an Enum's member, by its value."""
    return value if type(value) is str else str.__str__(value) if isinstance(value, str) else refuse(name, what, value)


def secret(name: str, value: Any) -> str:
    """A text that no error repeats; other objects by theirs, as those of libraries for URLs."""
    if value is None or isinstance(value, (bytes, bytearray, memoryview, bool, int, float, dict, list, tuple, set)):
        raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
    return str(value)


def path(name: str, value: Any, what: str) -> str:
    """A text, or what stands for one among paths."""
    return text(name, os.fspath(value) if isinstance(value, os.PathLike) else value, what)


def items(value: Any, sentence: str) -> tuple[Any, ...]:
    """The elements of a list or another collection, at least one. The error is this sentence: they may be secrets."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
        raise ConfigurationError(sentence)
    found = tuple(value)
    if not found:
        raise ConfigurationError(sentence)
    return found


def choice(name: str, value: Any, choices: Collection[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        *others, last = choices
        refuse(name, f"{', '.join(others)} or {last}", value)
    return str.__str__(value)


def instance(name: str, value: Any, kind: Type[T], default: T) -> T:
    """An object of a class; the default for None."""
    if value is None:
        return default
    if not isinstance(value, kind):
        refuse(name, f"{kind.__name__}(...) or None", value)
    return value


def set_checked(owner: Any, name: str, check: Callable[..., Any], *bounds: float, **more: Any) -> None:
    """Check a field of a frozen dataclass, and keep it in its own type."""
    object.__setattr__(owner, name, check(name, getattr(owner, name), *bounds, **more))


def _bounds(least: float, most: float, above: bool = False) -> str:
    if most >= MAX_INTEGER:
        return (f"more than {least:g}" if above else f"{least:g} or more") + (
            ", and finite" if most == math.inf else ""
        )
    end = "100 years" if most == MAX_S else str(most)
    return f"more than {least:g} and at most {end}" if above else f"between {_plain(least)} and {end}"


def _plain(value: float) -> str:
    return "-100 years" if value == -MAX_S else str(value) if value == int(value) and abs(value) > 999 else f"{value:g}"


def _is_time(value: Any) -> bool:
    """Whether it is one of numpy's dates or spans, which call themselves integers, of any unit."""
    return getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")


def _is_plain(value: timedelta) -> bool:
    """Whether it says a time: pandas' NaT is a timedelta that does not."""
    return value == value  # noqa: PLR0124 - NaT is unequal to itself
