"""The upgrades of a task: they turn the arguments of older versions into those of the current one."""

from __future__ import annotations

from typing import Any, Callable, Dict

from bizzmq.errors import ArgumentsError, ConfigurationError, UnknownTaskError
from bizzmq.validation import checks

Upgrade = Callable[[Dict[str, Any]], Dict[str, Any]]


class Upgrades:
    """The upgrades of one task, by the version that each starts from."""

    def __init__(self, task: str, version: int) -> None:
        self._task, self._version = task, version
        self._upgrades: Dict[int, Upgrade] = {}

    def register(self, version: int) -> Callable[[Upgrade], Upgrade]:
        """See `Task.upgrade`."""
        checks.integer("the version that an upgrade starts from", version, 1)
        if version >= self._version:
            raise ConfigurationError(
                f"task {self._task!r} has version {self._version}: an upgrade from {version} leads to no version of "
                f"it; declare version={version + 1}"
            )
        if version in self._upgrades:
            raise ConfigurationError(f"task {self._task!r} has an upgrade from version {version} already")

        def register(function: Upgrade) -> Upgrade:
            if not callable(function):
                checks.refuse("an upgrade", "a function that takes a dict of arguments", function)
            self._upgrades[version] = function
            return function

        return register

    def applied(self, body: Any, version: int) -> Any:
        """See `Task.upgraded`."""
        if version > self._version:
            raise UnknownTaskError(
                f"version {version} of task {self._task!r} is newer than this worker's {self._version}"
            )
        for step in range(version, self._version):
            upgrade = self._upgrades.get(step)
            if upgrade is None:
                raise ArgumentsError(f"task {self._task!r} has no upgrade from version {step} of its arguments")
            body = upgrade(body)
        return body
