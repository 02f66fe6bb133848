"""Clients, pools and the `bizzmq` command with the documented users of Redis: nothing is refused."""

from __future__ import annotations

import signal
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerUnavailableError, MessageOptions, NotConfirmedError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.errors import BrokerRefusesError
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, run
from tests.security.roles import brackets, refusals, rules, set_user, set_users, url_of
from tests.support.features import need_waitaof

WITH_DEAD_LETTERS = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.01)


@pytest.fixture(params=[(), ("q", "q:*", "new", "plain")], ids=["all queues", "these queues"])
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The queues of the lines."""
    found: tuple[str, ...] = request.param
    return found


@pytest.fixture
def guarded(private_server: Callable[..., RedisServer], names: tuple[str, ...]) -> RedisServer:
    server = private_server()
    set_users(server.client(), *names)
    return server


@pytest.fixture
def admin(guarded: RedisServer) -> Redis:
    return guarded.client()


@pytest.fixture
def publisher(guarded: RedisServer) -> Iterator[BizzMQ]:
    with BizzMQ(url_of(guarded, "creator")) as mq:
        assert mq.create_queue("q", WITH_DEAD_LETTERS)
        assert mq.create_queue("plain")
    with BizzMQ(url_of(guarded, "publisher")) as mq:
        yield mq


def test_a_publisher_publishes_in_every_way(publisher: BizzMQ, admin: Redis) -> None:
    publisher.publish_message_to_queue("plain", 1)
    for options in (MessageOptions(priority=5), MessageOptions(priority=-5), MessageOptions(delay_s=60)):
        publisher.publish_messages_to_queue("q", range(150), options)
    with pytest.raises(NotConfirmedError):  # stored, but without a replica
        publisher.publish_message_to_queue("q", 1, MessageOptions(confirm="replicas:1"))

    assert (publisher.stats("q").waiting, publisher.stats("q").delayed) == (301, 150)
    assert refusals(admin) == []


@pytest.mark.parametrize("extra", [(), ("--min-concurrency=1", "--scale-latency=0.1")], ids=["plain", "scaling"])
def test_a_pool_works_retries_dead_letters_and_loses_workers(
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


def test_a_burst_creates_its_queue_and_exits_when_it_is_empty(
    guarded: RedisServer, admin: Redis, pool_factory: Any
) -> None:
    pool = pool_factory(url_of(guarded, "worker"), queue="new", args=["--burst"], url_in_env=True)

    assert pool.wait(PATIENCE_S) == 0, pool.log()
    assert refusals(admin) == []
    assert command(admin, "EXISTS", "bizzmq:{new}:meta") == 1


def test_an_in_process_consumer_is_a_worker(guarded: RedisServer, publisher: BizzMQ, admin: Redis) -> None:
    publisher.publish_message_to_queue("q", "hello")
    seen: list[Any] = []
    with BizzMQ(url_of(guarded, "worker")) as mq:
        mq.consume_message_from_queue("q", seen.append)
        eventually(lambda: seen == ["hello"] and mq.stats("q").acked == 1, PATIENCE_S)

    assert refusals(admin) == []


def test_a_worker_that_also_publishes_is_refused_without_the_publishers_rules(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis, names: tuple[str, ...]
) -> None:
    impatient = Publisher(Broker(connect(url_of(guarded, "worker"))), retry_for_s=0.0)
    with pytest.raises(BrokerUnavailableError, match=r"permission|user executing the script"):  # the latter: Redis 7.0
        impatient.publish("q", [1], MessageOptions())

    command(admin, "ACL", "SETUSER", "worker", *" ".join(brackets("publisher", *names)).split())

    assert len(impatient.publish("q", [1], MessageOptions())) == 1
    impatient.close()


def fail(_body: Any) -> None:
    raise ValueError("asked to fail")


def test_an_operator_can_use_the_whole_command(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis, names: tuple[str, ...]
) -> None:
    url = url_of(guarded, "operator")
    publisher.publish_message_to_queue("q", "bad", MessageOptions(retries=0))
    with BizzMQ(url_of(guarded, "worker")) as mq:
        mq.consume_message_from_queue("q", fail)
        eventually(lambda: mq.stats("q").dead_lettered == 1, PATIENCE_S)
    publisher.publish_messages_to_queue("q", [1, 2], MessageOptions(priority=1))

    admin.acl_log_reset()
    for words in (
        *(() if names else ("queues",)), "stats q", "publish q {}",
        "publish new {} --create", "dlq list q", "dlq show q", "dlq replay q",
        "audit q", "audit q --repair", "purge q --yes", "dlq purge q --yes",
    ):  # fmt: skip
        ended = run(OPERATOR, *words.split(), BIZZMQ_REDIS_URL=url)
        assert ended.code == 0, (words, ended)

    assert refusals(admin) == []


def test_a_doctor_without_all_permissions_reports_that(guarded: RedisServer, names: tuple[str, ...]) -> None:
    about = ["--queue", "q"] if names else []
    ended = run(OPERATOR, "doctor", *about, BIZZMQ_REDIS_URL=url_of(guarded, "operator"))

    assert ended.code in (0, 1)
    assert "may do all that an operator does" in ended.out
    assert "Traceback" not in ended.err


def test_a_publisher_can_look_up_a_queue_and_cannot_create_one(publisher: BizzMQ, admin: Redis) -> None:
    assert publisher.create_queue("q", QueueOptions(max_retries=9)) is False

    with pytest.raises(BrokerRefusesError, match="permission"):
        publisher.create_queue("new")
    assert command(admin, "EXISTS", "bizzmq:{new}:meta") == 0


def test_a_publisher_with_the_creators_rules_creates_its_queues(
    guarded: RedisServer, admin: Redis, names: tuple[str, ...]
) -> None:
    command(admin, "ACL", "SETUSER", "publisher", *" ".join(brackets("creator", *names)).split())

    with BizzMQ(url_of(guarded, "publisher")) as mq:
        assert mq.create_queue("q", QueueOptions(shards=3))
        assert len(mq.publish_messages_to_queue("q", range(20))) == 20
    assert refusals(admin) == []


def test_shards_are_in_the_line_of_their_queue(
    guarded: RedisServer, admin: Redis, ledger: Ledger, pool_factory: Any
) -> None:
    with BizzMQ(url_of(guarded, "creator")) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=3))
    with BizzMQ(url_of(guarded, "publisher")) as mq:
        ids = [mq.publish_message_to_queue("q", {}) for _ in range(6)]
        pool = pool_factory(url_of(guarded, "worker"), url_in_env=True)
        eventually(lambda: mq.stats("q").acked == 6, PATIENCE_S, pool.log)
        eventually(lambda: admin.info("clients")["blocked_clients"] > 0, PATIENCE_S, pool.log)

    assert set(ledger.handled()) == set(ids)
    assert refusals(admin) == []
    assert "refused" not in pool.log()


def test_a_dead_letter_queue_has_a_worker_of_its_own(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis, ledger: Ledger, pool_factory: Any
) -> None:
    publisher.publish_messages_to_queue("q", [{"do": "raise"}, {"do": "raise"}], MessageOptions(retries=0))
    first = pool_factory(url_of(guarded, "worker"), url_in_env=True, args=["--burst"])
    assert first.wait(PATIENCE_S) == 0, first.log()

    second = pool_factory(url_of(guarded, "dead-letter-worker"), queue="q_dlq", url_in_env=True)

    eventually(lambda: admin.llen("bizzmq:{q}:dlq:parked") == 2, PATIENCE_S, second.log)
    second.signal(signal.SIGTERM)
    assert second.wait(PATIENCE_S) == 0
    assert refusals(admin) == []


def test_a_viewer_sees_counts_and_no_messages(
    guarded: RedisServer, publisher: BizzMQ, admin: Redis, names: tuple[str, ...]
) -> None:
    publisher.publish_message_to_queue("q", "secret")
    url = url_of(guarded, "viewer")

    for words in (*(() if names else ("queues",)), "stats q"):
        ended = run(OPERATOR, *words.split(), BIZZMQ_REDIS_URL=url)
        assert ended.code == 0, (words, ended)
    assert refusals(admin) == []
    assert run(OPERATOR, "audit", "q", BIZZMQ_REDIS_URL=url).code == 1


def test_another_database_needs_select(guarded: RedisServer, admin: Redis) -> None:
    for role in ("publisher", "creator"):
        set_user(admin, role, [*rules(role), "+select"])

    with BizzMQ(url_of(guarded, "creator", 1)) as mq:
        mq.create_queue("q")
    with BizzMQ(url_of(guarded, "publisher", 1)) as mq:
        mq.publish_message_to_queue("q", 1)

    assert refusals(admin) == []


def test_confirmation_by_the_disk_needs_one_more_command(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(persistence="aof")
    admin = server.client()
    set_users(admin)
    with BizzMQ(url_of(server, "creator")) as mq:
        mq.create_queue("q")
    need_waitaof(admin)
    set_user(admin, "publisher", [*rules("publisher"), "+waitaof"])

    with BizzMQ(url_of(server, "publisher")) as mq:
        assert mq.publish_message_to_queue("q", 1, MessageOptions(confirm="aof"))

    assert refusals(admin) == []
