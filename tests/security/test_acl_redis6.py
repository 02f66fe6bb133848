"""The documented lines without brackets, for Redis 6: clients and a pool work with them unchanged."""

from __future__ import annotations

import re
import signal
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, BizzMQError, MessageOptions, QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.security.roles import creating_redis6, refusals, rules, set_user, url_of
from tests.support.features import need_acl

NAMES = ("q",)


@pytest.fixture(params=[(), NAMES], ids=["all queues", "one queue"])
def guarded(private_server: Callable[..., RedisServer], request: pytest.FixtureRequest) -> RedisServer:
    """A server with the two users, for all queues or for one."""
    server = private_server()
    admin = server.client()
    need_acl(admin)
    for role in ("publisher", "worker"):
        set_user(admin, role, rules(role, *request.param, marker="acl6"))
    return server


@pytest.fixture
def admin(guarded: RedisServer) -> Iterator[Redis]:
    with guarded.client() as client:
        yield client


def test_a_publisher_and_a_pool_are_refused_nothing(
    guarded: RedisServer, admin: Redis, ledger: Ledger, pool_factory: Any
) -> None:
    with BizzMQ(guarded.url) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.01))
    bodies: list[Any] = [{}, {"do": "raise"}, {"do": "os_exit", "times": 1}]
    with BizzMQ(url_of(guarded, "publisher")) as mq:
        ids = mq.publish_messages_to_queue("q", bodies)
        ids += mq.publish_messages_to_queue("q", [{}] * 3, MessageOptions(priority=1, delay_s=0.2))

    pool: Pool = pool_factory(url_of(guarded, "worker"), url_in_env=True)
    with BizzMQ(guarded.url) as mq:
        eventually(lambda: mq.stats("q").acked == 5 and mq.stats("q").dead_lettered == 1, PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
    assert set(ledger.handled()) == {*ids} - {ids[1]}
    assert refusals(admin) == []
    invariants.check_log(pool.log(), tracebacks=1)


def test_a_pool_creates_its_queue(guarded: RedisServer, admin: Redis, pool_factory: Any) -> None:
    pool: Pool = pool_factory(url_of(guarded, "worker"), queue="q", args=["--burst"], url_in_env=True)

    assert pool.wait(PATIENCE_S) == 0, pool.log()
    assert command(admin, "EXISTS", "bizzmq:{q}:meta") == 1
    assert refusals(admin) == []


def test_a_publisher_creates_nothing_and_counts_nothing(guarded: RedisServer) -> None:
    with BizzMQ(guarded.url) as mq:
        mq.create_queue("q")
    with BizzMQ(url_of(guarded, "publisher")) as mq:
        for refused in (lambda: mq.create_queue("new"), lambda: mq.stats("q")):
            with pytest.raises(BizzMQError, match=re.compile("permission", re.IGNORECASE)):
                refused()


def test_a_publisher_with_the_documented_additions_creates_queues(guarded: RedisServer, admin: Redis) -> None:
    set_user(admin, "publisher", [*rules("publisher", marker="acl6"), *creating_redis6()])

    with BizzMQ(url_of(guarded, "publisher")) as mq:
        assert mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        mq.publish_message_to_queue("q", 1)
    assert refusals(admin) == []
