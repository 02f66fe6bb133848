"""The doctor's findings, and the facts about a server on which they are based."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from bizzmq.connection.base import Connection
from bizzmq.doctor.server_info import REFUSED, config, info
from bizzmq.protocol.keys import PROBE

NEARLY_FULL, FULL = 0.8, 0.95
"""The used share of memory or connections above which there is a warning, and a failure."""


class Level(Enum):
    """The severity of a finding. Only FAIL makes the doctor's exit code 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """A finding about the server.

    Attributes:
        level: the severity.
        check: the name of the check.
        what: the finding, one line.
        do: the advice, one line; "" if there is nothing to do.
    """

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


class ServerFacts:
    """What a server reports about itself. Each command is sent once.

    Attributes:
        url_kind: the kind of the URL: "" for a single server, `sentinel` or `cluster`.
        refused: command -> why the server refuses it.
        base: the prefix of the keys for which permissions are checked.
        missing: the commands that the server does not have, after they were checked.
    """

    def __init__(self, connection: Connection, url_kind: str = "", base: str = PROBE) -> None:
        self.connection = connection
        self.url_kind = url_kind
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
        """Major and minor version of Redis, or of the Redis it is compatible with; empty if it is unknown."""
        return tuple(int(part) for part in re.findall(r"\d+", self.info("server").get("redis_version", ""))[:2])

    def number(self, section: str, name: str) -> int | None:
        """A number from INFO; None if it is unknown."""
        text = self.info(section).get(name, "")
        return int(text) if text.lstrip("-").isdigit() else None

    def config(self, name: str) -> str | None:
        """A setting of the server; None if it is unknown."""
        try:
            return config(self.connection, name)
        except REFUSED as error:
            self.refused["CONFIG"] = str(error)
            return None
