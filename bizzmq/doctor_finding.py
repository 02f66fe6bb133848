"""What the doctor finds, and the facts that it goes by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from bizzmq.connection import Connection
from bizzmq.keys import PROBE
from bizzmq.server_info import REFUSED, config, info

NEARLY_FULL, FULL = 0.8, 0.95
"""From which share of a limit on it is a warning, and a failure: of memory, and of connections."""


class Level(Enum):
    """How bad it is. Only FAIL makes the doctor's exit code 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line about the server, and one about what to do, which is empty if there is nothing to do."""

    level: Level
    check: str
    what: str
    do: str = ""


def ok(check: str, what: str, do: str = "") -> Finding:
    return Finding(Level.OK, check, what, do)


def warn(check: str, what: str, do: str) -> Finding:
    return Finding(Level.WARN, check, what, do)


def fail(check: str, what: str, do: str) -> Finding:
    return Finding(Level.FAIL, check, what, do)


class Facts:
    """What one server says about itself, each thing asked for once.

    Attributes:
        address: how the server was asked for, "" for one server, else `sentinel` or `cluster`.
        refused: command -> why the server does not tell.
        base: begins the keys that are named to ask for permission.
        missing: the commands that it does not have, once they have been looked for.
    """

    def __init__(self, connection: Connection, address: str = "", base: str = PROBE) -> None:
        self.connection = connection
        self.address = address
        self.base = base
        self.refused: dict[str, str] = {}
        self.missing: set[str] = set()
        self._info: dict[str, dict[str, str]] = {}

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO; empty if it is refused."""
        if section not in self._info:
            try:
                self._info[section] = info(self.connection, section)
            except REFUSED as error:
                self.refused["INFO"] = str(error)
                self._info[section] = {}
        return self._info[section]

    def version(self) -> tuple[int, ...]:
        """Of Redis, or of that which it is compatible with: major and minor; empty if it is not told."""
        return tuple(int(part) for part in re.findall(r"\d+", self.info("server").get("redis_version", ""))[:2])

    def number(self, section: str, name: str) -> int | None:
        """A number from INFO; None if it is not told."""
        text = self.info(section).get(name, "")
        return int(text) if text.lstrip("-").isdigit() else None

    def config(self, name: str) -> str | None:
        """A setting; None if it is not told."""
        try:
            return config(self.connection, name)
        except REFUSED as error:
            self.refused["CONFIG"] = str(error)
            return None
