"""A server whose users have the documented lines."""

from __future__ import annotations

import shutil
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq.testing.binaries import server_binary
from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import NO_QUEUE, load_all
from tests.scripts.moves import Move
from tests.security.roles import SCRIPTS, set_users


def worker_of(move: Move) -> str:
    """The role of the work: the worker of the queue or that of its dead-letter queue."""
    creates_dead = move.script == "create" and move.after == NO_QUEUE
    return "dead-letter-worker" if move.before_dead.workers or creates_dead else "worker"


def is_of(role: str, move: Move) -> bool:
    return move.script in SCRIPTS[role] and ("worker" not in role or role == worker_of(move))


def binaries() -> list[str]:
    """The server of the other tests, and Debian's server, which may be older."""
    return list(dict.fromkeys(found for found in (server_binary(), shutil.which("redis-server")) if found))


@pytest.fixture(scope="module", params=binaries(), ids=lambda path: path.rpartition("/")[2])
def guarded(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server with all users."""
    server = RedisServer(binary=request.param)
    try:
        with server.client() as admin:
            set_users(admin)
        yield server
    finally:
        server.close()


@pytest.fixture
def admin(guarded: RedisServer) -> Iterator[Redis]:
    with guarded.client() as client:
        _start_over(client)
        yield client


def _start_over(client: Redis, *, with_scripts: bool = True) -> None:
    client.flushall()
    command(client, "ACL", "LOG", "RESET")
    if with_scripts:
        load_all(client)
    else:
        client.script_flush()


waiters: list[Any] = []
"""Those who wait for results, so that these are sent."""


@pytest.fixture(autouse=True)
def no_waiters_left() -> Iterator[None]:
    yield
    while waiters:
        waiters.pop().close()
