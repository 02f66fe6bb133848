"""The errors that checks of values raise; `bizzmq.errors` has all of them."""

from __future__ import annotations


class BizzMQError(Exception):
    """Base of all errors of this library."""

    __module__ = "bizzmq.errors"


class ConfigurationError(BizzMQError, ValueError):
    """A setting, name or address that cannot work; the text says what to change."""

    __module__ = "bizzmq.errors"
