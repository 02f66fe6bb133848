"""Environment variables that look like a misspelt setting."""

from __future__ import annotations

import difflib
import os
from typing import Callable, Iterable, Iterator

import click

_PREFIX = "BIZZMQ_"
_COMMON = (
    "BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "BIZZMQ_SIGNING_KEYS", "BIZZMQ_SIGNING_KEYS_FILE",
    "BIZZMQ_WORKER_HEALTH_TOKEN", "BIZZMQ_WORKER_REDIS_URL",
    "BIZZMQ_DASHBOARD_PASSWORD", "BIZZMQ_DASHBOARD_LOOK_PASSWORD", "BIZZMQ_DASHBOARD_METRICS_TOKEN",
)  # fmt: skip
_NOT_SETTINGS = (
    "BIZZMQ_TEST_",
    "BIZZMQ_LEDGER",
    "BIZZMQ_DEMO_",
    "BIZZMQ_TORTURED",
    "BIZZMQ_FAILPOINT",
    "BIZZMQ_BENCH_",
)
"""Variables that the fault kit and the demo set for the pools that they start."""
_WORKER_PREFIX = "BIZZMQ_WORKER_"
_NEAR = 0.75


def misspelt(commands: Callable[[], Iterable[click.Command]]) -> list[str]:
    """A sentence for each variable that is not a setting of these commands but looks like one.

    That is any unknown BIZZMQ_WORKER_*, and any other unknown BIZZMQ_* that resembles a setting: the user's own
    programs may use that prefix, too.

    Args:
        commands: called only if there is a variable to compare, since it may have to import them.
    """
    names = [name for name in sorted(os.environ) if name.startswith(_PREFIX) and not name.startswith(_NOT_SETTINGS)]
    if not set(names) - set(_COMMON):
        return []
    known = {*_COMMON, *(name for command in commands() for name in _variables(command))}
    return [sentence for name in names for sentence in _warnings(name, known)]


def _warnings(name: str, known: set[str]) -> Iterator[str]:
    if name in known:
        return
    prefix = _WORKER_PREFIX if name.startswith(_WORKER_PREFIX) else ""  # only the part behind it is compared
    words = {other[len(prefix) :]: other for other in sorted(known) if other.startswith(prefix)}
    near = difflib.get_close_matches(name[len(prefix) :], words, 1, _NEAR)
    if near:
        yield f"the environment variable {name} is not a setting; do you mean {words[near[0]]}?"
    elif name.startswith(_WORKER_PREFIX):
        yield f"the environment variable {name} is not a setting"


def _variables(command: click.Command, prefix: str = "") -> Iterator[str]:
    prefix = prefix or str(command.context_settings.get("auto_envvar_prefix", ""))
    for parameter in command.params:
        given = [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar or ())
        yield from given
        if prefix and isinstance(parameter, click.Option) and parameter.allow_from_autoenv:
            yield f"{prefix}_{parameter.name}".upper()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _variables(inner, f"{prefix}_{name}".upper().replace("-", "_"))
