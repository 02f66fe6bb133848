"""Which variables of the environment are settings, and which look like a setting that is misspelt."""

from __future__ import annotations

import difflib
import os
from typing import Iterable, Iterator

import click

_PREFIX = "BIZZMQ_"
_COMMON = (
    "BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "BIZZMQ_SIGNING_KEYS", "BIZZMQ_SIGNING_KEYS_FILE",
    "BIZZMQ_WORKER_HEALTH_TOKEN", "BIZZMQ_WORKER_REDIS_URL",
)  # fmt: skip
_NOT_SETTINGS = (
    "BIZZMQ_TEST_",
    "BIZZMQ_LEDGER",
    "BIZZMQ_DEMO_",
    "BIZZMQ_TORTURED",
    "BIZZMQ_FAILPOINT",
    "BIZZMQ_BENCH_",
)
"""What the fault kit and the demo tell the pools that they start."""
_WORKER_PREFIX = "BIZZMQ_WORKER_"
_NEAR = 0.75


def misspelt(commands: Iterable[click.Command]) -> list[str]:
    """A sentence for each variable that is no setting of these commands and looks like one.

    Of the pool's own, BIZZMQ_WORKER_*, each that is no setting; of others those that resemble one, since programs of
    the user's may name theirs so.
    """
    known = {*_COMMON, *(name for command in commands for name in _variables(command))}
    return [sentence for name in sorted(os.environ) for sentence in _said_of(name, known)]


def _said_of(name: str, known: set[str]) -> Iterator[str]:
    if not name.startswith(_PREFIX) or name in known or name.startswith(_NOT_SETTINGS):
        return
    prefix = _WORKER_PREFIX if name.startswith(_WORKER_PREFIX) else ""  # what all of the pool's share says nothing
    words = {other[len(prefix) :]: other for other in sorted(known) if other.startswith(prefix)}
    near = difflib.get_close_matches(name[len(prefix) :], words, 1, _NEAR)
    if near:
        yield f"the environment variable {name} is no setting; do you mean {words[near[0]]}?"
    elif name.startswith(_WORKER_PREFIX):
        yield f"the environment variable {name} is no setting"


def _variables(command: click.Command, prefix: str = "") -> Iterator[str]:
    prefix = prefix or str(command.context_settings.get("auto_envvar_prefix", ""))
    for parameter in command.params:
        given = [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar or ())
        yield from given
        if prefix and isinstance(parameter, click.Option):
            yield f"{prefix}_{parameter.name}".upper()
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _variables(inner, f"{prefix}_{name}".upper().replace("-", "_"))
