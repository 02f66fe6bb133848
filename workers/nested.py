"""A module that starts a pool when it is imported: in a process of a pool that would start another one, and so on."""

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
    """From now on this process is one of a pool."""
    global _is_forbidden  # noqa: PLW0603 - it is of the process
    _is_forbidden = True


def check() -> None:
    """Raises NestedPoolError in a process of a pool."""
    if _is_forbidden:
        raise NestedPoolError
