"""Parameters of tests of the client: a name that is a member of an enum, and ids of tests."""

from __future__ import annotations

import enum


class Name(str, enum.Enum):
    EMAIL = "email"


def kind(value: object) -> str:
    """The id of a test: the repr of an object contains an address, which differs between processes."""
    return type(value).__name__
