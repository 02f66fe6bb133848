"""An option of the pool as one entry: a field of WorkerConfig that knows its flag, its check and its documentation.

The options of `bizzmq-worker`, the checks of WorkerConfig, the hints about options without effect and the reference in
the documentation all come from these entries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import partial
from typing import Any, Callable, Collection, Iterator, Optional, Sequence, Tuple, TypeVar

from bizzmq.errors import ConfigurationError
from bizzmq.validation import checks

PREFIX = "BIZZMQ_WORKER"
"""Each flag `--some-name` is also the environment variable BIZZMQ_WORKER_SOME_NAME."""

Check = Callable[[str, Any], Any]
"""Takes a field's name and its value; returns the value in its own type, or raises ConfigurationError."""
T = TypeVar("T")
_METADATA = "option"
_UNIT = re.compile("_(s|mb)$")


class Group(Enum):
    """The sections of `bizzmq-worker --help`, in their order."""

    QUEUES = "Queues and Redis"
    WORKERS = "Workers"
    LIFECYCLE = "Start and stop"
    LIMITS = "Limits"
    STATUS = "Status and probes"
    OTHER = "Other options"


@dataclass(frozen=True)
class Kind:
    """The kind of value that an option takes, made by the functions below.

    The command line may be narrower than the field: some values make sense in tests only.

    Args:
        check: the check of the field.
        flag_type: the type of the value on the command line: bool, int, float or str.
        least, most: the bounds on the command line, in that type; None for no bound.
        words: the words that are allowed, beside numbers if `flag_type` is a number.
        metavar: the name of the value in the help.
        is_repeated: the flag may be given several times.
        may_be_empty: the empty text is allowed on the command line.
    """

    check: Check
    flag_type: type = str
    least: Any = None
    most: Any = None
    words: Tuple[str, ...] = ()
    metavar: str = ""
    is_repeated: bool = False
    may_be_empty: bool = True


def integer(
    least: int,
    most: int = checks.MAX_INTEGER,
    *,
    flag_least: Optional[int] = None,
    words: Sequence[str] = (),
    none: str = "",
    metavar: str = "N",
) -> Kind:
    """A whole number, or one of `words`, or None, which stands for `none`.

    With words the command line takes 1 to 999,999.
    """
    check = _unless(partial(checks.integer, least=least, most=most), words, none)
    flag_most = None if most == checks.MAX_INTEGER else most
    name = "|".join((metavar, *words))
    return Kind(check, int, least if flag_least is None else flag_least, flag_most, words=tuple(words), metavar=name)


def seconds(
    least: float = 0, *, flag_least: Optional[float] = None, flag_most: Optional[float] = None, none: str = ""
) -> Kind:
    """A time in seconds, or None, which stands for `none`. In Python also a timedelta."""
    check = _unless(partial(checks.seconds, least=least), (), none)
    return Kind(check, float, least if flag_least is None else flag_least, flag_most, metavar="SECONDS")


def megabytes() -> Kind:
    """A size of memory; 0 is no limit."""
    return Kind(partial(checks.number, least=0.0), float, least=0, metavar="MB")


def flag() -> Kind:
    """On or off; on the command line a flag without a value."""
    return Kind(checks.flag, bool)


def choice(*words: str) -> Kind:
    """One of these words."""
    return Kind(partial(checks.choice, choices=words), words=words, metavar="|".join(words))


def text(what: str, metavar: str) -> Kind:
    """A text. `what` describes it in the error."""
    return Kind(partial(checks.text, what=what), metavar=metavar)


def path(what: str, metavar: str, *, empty_is_off: bool = False) -> Kind:
    """A path. `what` describes it in the error. Only in Python the empty path can turn the option off."""

    def check(name: str, value: Any) -> str:
        found = checks.path(name, value, what)
        if not found and not empty_is_off:
            raise ConfigurationError(f"{name} must be {what}")
        return found

    return Kind(check, metavar=metavar, may_be_empty=not empty_is_off)


def checked_by(check: Check, metavar: str = "", *, is_repeated: bool = False) -> Kind:
    """A text, or several, with a check of its own."""
    return Kind(check, metavar=metavar, is_repeated=is_repeated)


def _unless(check: Callable[..., Any], words: Collection[str], none: str) -> Check:
    """The check, for values that are not one of the words, and not a None that stands for something."""
    otherwise = f", or None for {none}" if none else "".join(f", or {word}" for word in words)

    def checked(name: str, value: Any) -> Any:
        if (value is None and none) or (isinstance(value, str) and value in words):
            return value
        return check(name, value, otherwise=otherwise)

    return checked if otherwise else check


@dataclass(frozen=True)
class Option:
    """One option of the pool.

    Args:
        name: the field of WorkerConfig, with its unit.
        flags: the short flag, if there is one, and the long one; () for an option that is set in Python only.
        default: the value of the field that was not set.
        meaning: one sentence for `--help` and the reference.
        details: further sentences, for the reference only, in Markdown.
        default_text: the words that the documentation shows in place of the default.
        default_here: returns what the default is on this machine.
        flag_default: the default of the command if it differs from the field's, or a function that returns it.
        variable: the environment variable; the flag says which one, unless it is given.
        more_variables: read when `variable` is not set.
        needs: fields of which at least one has to be set, or this option has no effect.
    """

    kind: Kind
    meaning: str
    name: str = ""
    flags: Tuple[str, ...] = ()
    default: Any = None
    group: Group = Group.OTHER
    details: str = ""
    default_text: str = ""
    default_here: Optional[Callable[[], object]] = None
    flag_default: Any = None
    variable: str = ""
    more_variables: Tuple[str, ...] = ()
    needs: Tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The long flag; "" for an option that is set in Python only."""
        return self.flags[-1] if self.flags else ""

    @property
    def parameter(self) -> str:
        """The name without the unit, as the command calls it."""
        return _UNIT.sub("", self.name)


def option(
    *flags: str,
    kind: Kind,
    default: T,
    meaning: str,
    group: Group = Group.OTHER,
    details: str = "",
    default_text: str = "",
    default_here: Optional[Callable[[], object]] = None,
    flag_default: Any = None,
    variable: str = "",
    more_variables: Sequence[str] = (),
    needs: Sequence[str] = (),
    is_secret: bool = False,
) -> T:
    """A dataclass field that is an option; see Option. The value of a secret is never shown."""
    entry = Option(
        kind,
        meaning,
        flags=flags,
        default=default,
        group=group,
        details=details,
        default_text=default_text,
        default_here=default_here,
        flag_default=flag_default,
        variable=variable or (f"{PREFIX}_{flags[-1][2:].replace('-', '_').upper()}" if flags else ""),
        more_variables=tuple(more_variables),
        needs=tuple(needs),
    )
    return field(default=default, repr=not is_secret, metadata={_METADATA: entry})


def options_of(config: Any) -> Tuple[Option, ...]:
    """The options that are fields of this dataclass, in the order of the fields."""
    return tuple(replace(one.metadata[_METADATA], name=one.name) for one in fields(config) if _METADATA in one.metadata)


def check_fields(config: Any) -> None:
    """Check each option of this frozen dataclass, and keep it in its own type.

    Raises:
        ConfigurationError: a value is invalid.
    """
    for one in options_of(config):
        checks.set_checked(config, one.name, one.kind.check)


def docstring_lines(options: Sequence[Option]) -> Iterator[str]:
    """A line for each option, as in the `Args:` section of a docstring."""
    for one in options:
        words = f" ({one.default_text})" if one.default_text not in ("", one.default) else ""
        yield _joined(f"{one.name}: {one.meaning}", one.details, f"Default: {one.default!r}{words}.")


def _joined(*texts: str) -> str:
    return " ".join(filter(None, texts))
