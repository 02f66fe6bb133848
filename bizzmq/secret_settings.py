"""Settings of this process that come from its environment, and those of them that nobody else may inherit."""

from __future__ import annotations

import os

SECRETS = (
    "BIZZMQ_REDIS_URL", "BIZZMQ_WORKER_REDIS_URL", "BIZZMQ_SIGNING_KEYS", "BIZZMQ_WORKER_HEALTH_TOKEN",
)  # fmt: skip
"""What may hold a password, a key or a token. REDIS_URL is the platform's: what a handler starts may need it."""

_kept: dict[str, str] = {}


def get(name: str) -> str | None:
    """The value of a variable, also if it was taken out of the environment; None if it was never set."""
    found = os.environ.get(name)
    return found if found is not None else _kept.get(name)


def hide() -> None:
    """Take the secrets out of the environment, so that what this process starts does not inherit them.

    This process and its forks still find them, by `get`.
    """
    for name in SECRETS:
        value = os.environ.pop(name, None)
        if value is not None:
            _kept[name] = value


def environment_without() -> dict[str, str]:
    """The environment for a program that needs none of them."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}
