"""Which server is used if nobody names one: one order for clients and commands.

A command's own variable, BIZZMQ_REDIS_URL, the file that BIZZMQ_REDIS_URL_FILE names, REDIS_URL, and Redis's default
port on this machine. An empty variable counts as none. In a handler of a pool it is the pool's server.
"""

from __future__ import annotations

import os
from pathlib import Path

from bizzmq import secret_files, secret_settings

DEFAULT_URL = "redis://localhost:6379/0"
VARIABLE, FILE_VARIABLE, COMMON_VARIABLE = "BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "REDIS_URL"

_pools: list[str] = []


def from_environment() -> str:
    """The address. Raises ConfigurationError if the file that is named cannot be read."""
    if _pools:
        return _pools[-1]
    path = os.environ.get(FILE_VARIABLE)
    return (
        secret_settings.get(VARIABLE)
        or (secret_files.read(Path(path)) if path else "")
        or os.environ.get(COMMON_VARIABLE)
        or DEFAULT_URL
    )


def remember(url: str) -> None:
    """From now on this is the address in this process and its forks: that of the pool that they belong to."""
    _pools.append(url)


def forget() -> None:
    """Undo the last `remember`."""
    _pools.pop()
