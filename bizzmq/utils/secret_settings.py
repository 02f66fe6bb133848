"""Settings from the environment that hold secrets, which child processes must not inherit."""

from __future__ import annotations

import os

SECRETS = (
    "BIZZMQ_REDIS_URL", "BIZZMQ_WORKER_REDIS_URL", "BIZZMQ_SIGNING_KEYS", "BIZZMQ_ENCRYPTION_KEYS",
    "BIZZMQ_WORKER_HEALTH_TOKEN", "BIZZMQ_DASHBOARD_PASSWORD", "BIZZMQ_DASHBOARD_LOOK_PASSWORD",
    "BIZZMQ_WATCH_ALERTS_WEBHOOK",
    "BIZZMQ_DASHBOARD_METRICS_TOKEN",
)  # fmt: skip
"""Variables that can hold a password, a key or a token. REDIS_URL is not one of them: the platform sets it, and
programs that a handler starts may need it."""

_kept: dict[str, str] = {}


def get(name: str) -> str | None:
    """The value of a variable, even if `hide` has removed it; None if it was never set."""
    found = os.environ.get(name)
    return found if found is not None else _kept.get(name)


def hide() -> None:
    """Remove the secrets from the environment, so that programs that this process starts do not inherit them.

    `get` still returns them, in this process and its forks.
    """
    for name in SECRETS:
        value = os.environ.pop(name, None)
        if value is not None:
            _kept[name] = value


def environment_without() -> dict[str, str]:
    """A copy of the environment without the secrets, for a program that does not need them."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}
