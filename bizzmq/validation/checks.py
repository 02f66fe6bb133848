"""Checks of values that users pass. Each returns the value in the expected type, or raises ConfigurationError.

The text of the error is `NAME must be ALLOWED, not VALUE`. No value is rounded or clamped. Numbers of other libraries
(numpy, Decimal, Fraction) are accepted if they are exact; booleans and texts are not numbers.
"""

from __future__ import annotations

import math
import numbers
import os
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Callable, Collection, Iterable, Mapping, NoReturn, Type, TypeVar, Union

from bizzmq.validation.base_errors import ConfigurationError

T = TypeVar("T")
Seconds = Union[float, timedelta]

MAX_S = 100 * 365 * 86400.0
"""The longest time that users can pass: 100 years."""
MAX_INTEGER = 2**63 - 1
_SHOWN = 80


def refuse(name: str, allowed: str, value: Any) -> NoReturn:
    """Raise ConfigurationError: `NAME must be ALLOWED, not VALUE`."""
    raise ConfigurationError(f"{name} must be {allowed}, not {shown(value)}")


def shown(value: Any) -> str:
    """A value for the text of an error: one line of at most 80 characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - integers of more than 4,300 digits, and `__repr__` of user classes
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def integer(name: str, value: Any, least: int, most: int = MAX_INTEGER, otherwise: str = "") -> int:
    """A whole number from `least` to `most`. `otherwise` is added to the error's text: what else is allowed."""
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
    """A finite number from `least` to `most`; with `above`, greater than `least`."""
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
    """Seconds since the epoch, from a datetime with a time zone."""
    if not _is_plain(value) or value.utcoffset() is None:
        aware = "a datetime with a time zone, such as datetime.now(timezone.utc): without one it is ambiguous"
        refuse(name, aware, value)
    return value.timestamp()


def flag(name: str, value: Any) -> bool:
    """A bool; 0 and 1 are accepted."""
    if isinstance(value, bool) or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    refuse(name, "True or False", value)


def text(name: str, value: Any, what: str = "a text") -> str:
    """A str; an instance of a subclass, such as a member of an Enum, becomes its value."""
    return value if type(value) is str else str.__str__(value) if isinstance(value, str) else refuse(name, what, value)


def secret(name: str, value: Any) -> str:
    """A text that errors do not repeat. Other objects, such as URLs of libraries, become their text."""
    if value is None or isinstance(value, (bytes, bytearray, memoryview, bool, int, float, dict, list, tuple, set)):
        raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
    return str(value)


def path(name: str, value: Any, what: str) -> str:
    """A path as a str, from a text or an os.PathLike."""
    return text(name, os.fspath(value) if isinstance(value, os.PathLike) else value, what)


def items(value: Any, sentence: str) -> tuple[Any, ...]:
    """The elements of an iterable, at least one. The error's text is `sentence`, because elements may be secrets."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(value, Iterable):
        raise ConfigurationError(sentence)
    found = tuple(value)
    if not found:
        raise ConfigurationError(sentence)
    return found


def choice(name: str, value: Any, choices: Collection[str]) -> str:
    """One of the given words."""
    if not isinstance(value, str) or value not in choices:
        *others, last = choices
        refuse(name, f"{', '.join(others)} or {last}", value)
    return str.__str__(value)


def instance(name: str, value: Any, kind: Type[T], default: T) -> T:
    """An instance of a class; `default` for None."""
    if value is None:
        return default
    if not isinstance(value, kind):
        refuse(name, f"{kind.__name__}(...) or None", value)
    return value


def set_checked(owner: Any, name: str, check: Callable[..., Any], *bounds: float, **more: Any) -> None:
    """Check a field of a frozen dataclass, and store the result in it."""
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
    """Whether this is a date or a time span of numpy, which is registered as an integer and can have any unit."""
    return getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")


def _is_plain(value: datetime | timedelta) -> bool:
    """Whether this is a real time: pandas' NaT is a datetime or a timedelta, but not a time."""
    return value == value  # noqa: PLR0124 - NaT is unequal to itself
