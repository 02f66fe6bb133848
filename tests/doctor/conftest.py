"""Servers with good and bad configurations, and the doctor's findings about them."""

from __future__ import annotations

import shutil
from typing import Any, Callable, Iterator

import pytest

from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.doctor.examine import examine
from bizzmq.doctor.findings import Finding, Level
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.server import RedisServer

StartServer = Callable[..., RedisServer]
Examine = Callable[[str], "Report"]


class Report:
    """All findings about one server."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def of(self, check: str) -> tuple[str, str, str]:
        """(level, what, do) of the only finding of this check."""
        (found,) = [one for one in self.findings if one.check == check]
        return found.level.value, found.what, found.do

    def checks(self) -> set[str]:
        return {one.check for one in self.findings}

    def failing(self) -> set[str]:
        return {one.check for one in self.findings if one.level is Level.FAIL}


def binaries() -> list[str]:
    """The installed servers: the one under test, and Debian's Redis."""
    others = [path for path in (shutil.which("redis-server"), shutil.which("valkey-server")) if path]
    return list(dict.fromkeys([server_binary(), *others]))


@pytest.fixture(params=binaries(), ids=lambda path: path.rsplit("/", 1)[-1])
def configured(request: pytest.FixtureRequest, private_server: Callable[..., RedisServer]) -> StartServer:
    """configured("maxmemory 4mb", persistence="aof"): a server with these lines in its configuration."""

    def start(*lines: str, **options: Any) -> RedisServer:
        return private_server(config=lines, binary=request.param, **options)

    return start


@pytest.fixture
def examine_server() -> Iterator[Examine]:
    brokers: list[Broker] = []

    def look(url: str) -> Report:
        brokers.append(Broker(connect(url)))
        return Report(examine(brokers[-1]))

    yield look
    for broker in brokers:
        broker.connection.drop()
