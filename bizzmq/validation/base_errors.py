"""The base of all errors, and the error for invalid values; `bizzmq.errors` has the others."""

from __future__ import annotations

from typing import Any, Sequence


class PickledWhole:
    """An exception that survives pickling and copying, for example in a process pool, with all its attributes.

    By default an exception is rebuilt from `args`, its text. That fails for a class whose parameters are facts.
    """

    def __reduce__(self) -> Any:
        return _restored, (type(self), getattr(self, "args", ()), dict(self.__dict__))


def _restored(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args  # `__new__` of an OSError subclass with its own parameters does not keep them
    error.__dict__.update(facts)
    return error


class BizzMQError(PickledWhole, Exception):
    """The base class of all errors of this library.

    Attributes:
        published_ids: if publishing failed, the ids of the messages that are stored nevertheless.
    """

    __module__ = "bizzmq.errors"
    published_ids: Sequence[str] = ()


class ConfigurationError(BizzMQError, ValueError):
    """An invalid setting, name or URL; the text says what to change."""

    __module__ = "bizzmq.errors"
