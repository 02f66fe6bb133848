"""The documented users of Redis at work: clients, pools and the command, and nothing is refused to them."""

from __future__ import annotations

import signal
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerUnavailableError, MessageOptions, NotConfirmedError, QueueOptions
from bizzmq.broker import Broker
from bizzmq.connections import connect
from bizzmq.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, run
from tests.security.roles import refusals, rules, set_users, url_of

WITH_DEAD_LETTERS = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.01)


@pytest.fixture
def guarded(private_server: Callable[..., RedisServer]) -> RedisServer:
    server = private_server()
    set_users(server.client())
    return server


@pytest.fixture
def admin(guarded: RedisServer) -> Redis:
    return guarded.client()


@pytest.fixture
def publisher(guarded: RedisServer) -> Iterator[BizzMQ]:
    with BizzMQ(url_of(guarded, "publisher")) as mq:
        mq.create_queue("q", WITH_DEAD_LETTERS)
        yield mq


def test_a_publisher_publishes_in_every_way(publisher: BizzMQ, admin: Redis) -> None:
    publisher.create_queue("plain")
    publisher.publish_message_to_queue("plain", 1)
    for options in (MessageOptions(priority=5), MessageOptions(priority=-5), MessageOptions(delay_s=60)):
        publisher.publish_messages_to_queue("q", range(150), options)
    with pytest.raises(NotConfirmedError):  # stored, but there is no replica
        publisher.publish_message_to_queue("q", 1, MessageOptions(confirm="replicas:1"))

    assert (publisher.stats("q").waiting, publisher.stats("q").delayed) == (301, 150)
    assert refusals(admin) == []


@pytest.mark.parametrize("extra", [(), ("--min-concurrency=1", "--scale-latency=0.1")], ids=["plain", "scaling"])
def test_a_pool_works_retries_buries_and_loses_workers(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis, ledger: Ledger, pool_factory: Any, extra: tuple[str, ...]
) -> None:
    bodies: list[Any] = [{}, {"do": "raise"}, {"do": "os_exit", "times": 1}, {"do": "os_exit"}]
    published = publisher.publish_messages_to_queue("q", bodies)
    published += publisher.publish_messages_to_queue("q", [{}], MessageOptions(priority=1, delay_s=0.2))

    pool: Pool = pool_factory(url_of(guarded, "worker"), url_in_env=True, args=["--log-level=debug", *extra])

    eventually(lambda: publisher.stats("q").dead_lettered == 2, PATIENCE_S, pool.log)
    eventually(lambda: {published[0], published[2], published[4]} <= set(ledger.handled()), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    assert refusals(admin) == []
    assert "permission" not in pool.log().lower()
    invariants.check_log(pool.log(), tracebacks=2)


def test_a_pool_leaves_when_there_is_nothing_to_do_and_creates_its_queue(
    guarded: RedisServer, admin: Redis, pool_factory: Any
) -> None:
    pool = pool_factory(url_of(guarded, "worker"), queue="new", args=["--burst"], url_in_env=True)

    assert pool.wait(PATIENCE_S) == 0, pool.log()
    assert refusals(admin) == []
    assert command(admin, "EXISTS", "bizzmq:{new}:meta") == 1


def test_a_consumer_in_this_process_is_a_worker(guarded: RedisServer, publisher: BizzMQ, admin: Redis) -> None:
    publisher.publish_message_to_queue("q", "hello")
    seen: list[Any] = []
    with BizzMQ(url_of(guarded, "worker")) as mq:
        mq.consume_message_from_queue("q", seen.append)
        eventually(lambda: seen == ["hello"] and mq.stats("q").acked == 1, PATIENCE_S)

    assert refusals(admin) == []


def test_a_worker_that_also_publishes_is_refused_without_the_publishers_rules(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis
) -> None:
    impatient = Publisher(Broker(connect(url_of(guarded, "worker"))), retry_for_s=0.0)
    with pytest.raises(BrokerUnavailableError, match="permission"):
        impatient.publish("q", [1], MessageOptions())

    brackets = " ".join(rules("publisher")).partition("(")[2]
    command(admin, "ACL", "SETUSER", "worker", *f"({brackets}".split())

    assert len(impatient.publish("q", [1], MessageOptions())) == 1
    impatient.close()


def test_an_operator_can_use_the_whole_command(guarded: RedisServer, publisher: BizzMQ, admin: Redis) -> None:
    url = url_of(guarded, "operator")
    publisher.publish_message_to_queue("q", "bad", MessageOptions(retries=0))
    with BizzMQ(url_of(guarded, "worker")) as mq:
        mq.consume_message_from_queue("q", ValueError)
        eventually(lambda: mq.stats("q").dead_lettered == 1, PATIENCE_S)
    publisher.publish_messages_to_queue("q", [1, 2], MessageOptions(priority=1))

    for words in (
        "queues", "stats q", "publish q {}", "publish new {} --create", "dlq list q", "dlq show q", "dlq replay q",
        "audit q", "audit q --repair", "purge q --yes", "dlq purge q --yes",
    ):  # fmt: skip
        ended = run(OPERATOR, *words.split(), BIZZMQ_REDIS_URL=url)
        assert ended.code == 0, (words, ended)

    assert refusals(admin) == []


def test_a_doctor_who_may_not_ask_all_says_so(guarded: RedisServer) -> None:
    ended = run(OPERATOR, "doctor", BIZZMQ_REDIS_URL=url_of(guarded, "operator"))

    assert ended.code in (0, 1)
    assert "may do all that an operator does" in ended.out
    assert "Traceback" not in ended.err
