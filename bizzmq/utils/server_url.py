"""The server URL if none is given: the same order for clients and commands.

The order is: a command's own variable, BIZZMQ_REDIS_URL, the file named by BIZZMQ_REDIS_URL_FILE, REDIS_URL, and
Redis's default port on this machine. An empty variable is ignored. In a pool's handler it is the pool's server.
"""

from __future__ import annotations

import os
from pathlib import Path

from bizzmq.utils import secret_files, secret_settings

DEFAULT_URL = "redis://localhost:6379/0"
VARIABLE, FILE_VARIABLE, COMMON_VARIABLE = "BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "REDIS_URL"
HELP = (
    "URL of the server: redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, or embedded:// for a "
    f"private one. Also from {VARIABLE}, the file that {FILE_VARIABLE} names, or {COMMON_VARIABLE}."
)
"""The help of the option `--redis-url`, which all commands have."""

_pools: list[str] = []


def from_environment() -> str:
    """The URL. Raises ConfigurationError if the file named by BIZZMQ_REDIS_URL_FILE cannot be read."""
    if _pools:
        return _pools[-1]
    path = os.environ.get(FILE_VARIABLE)
    return (
        secret_settings.get(VARIABLE)
        or (secret_files.read_secret(Path(path)) if path else "")
        or os.environ.get(COMMON_VARIABLE)
        or DEFAULT_URL
    )


def remember(url: str) -> None:
    """Make this pool's URL the default one in this process and its forks."""
    _pools.append(url)


def forget() -> None:
    """Undo the last `remember`."""
    _pools.pop()
