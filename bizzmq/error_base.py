"""The errors that checks of values raise; `bizzmq.errors` has all of them."""

from __future__ import annotations

from typing import Any


class Travels:
    """An error that is the same one after it was pickled, as a process pool does with what its tasks raise, or copied.

    Exceptions are made anew from `args`, the text: that does not fit a class whose parameters are facts.
    """

    def __reduce__(self) -> Any:
        return _restored, (type(self), getattr(self, "args", ()), dict(self.__dict__))


def _restored(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args  # of an OSError with parameters of its own, `__new__` has kept none
    error.__dict__.update(facts)
    return error


class BizzMQError(Travels, Exception):
    """Base of all errors of this library."""

    __module__ = "bizzmq.errors"


class ConfigurationError(BizzMQError, ValueError):
    """A setting, name or address that cannot work; the text says what to change."""

    __module__ = "bizzmq.errors"
