"""Refuses a pool that the handler's module starts when a pool imports it: that pool would start another, and so on."""

from __future__ import annotations

from bizzmq.errors import ConfigurationError

_is_forbidden = False


class NestedPoolError(ConfigurationError):
    """The handler's module starts a pool while it is imported."""

    def __init__(self) -> None:
        super().__init__(
            'the module starts a pool while a pool imports it: put that under `if __name__ == "__main__":`'
        )


def forbid() -> None:
    """Refuse pools in this process from now on: it belongs to a pool."""
    global _is_forbidden  # noqa: PLW0603 - a property of the process
    _is_forbidden = True


def check() -> None:
    """Raise NestedPoolError if this process belongs to a pool."""
    if _is_forbidden:
        raise NestedPoolError
