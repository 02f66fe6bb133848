"""Pipelined publishes: under all faults each message is stored once, in order, and without a gap."""

from __future__ import annotations

import itertools
import signal
from typing import Any, Callable, Iterator, Sequence

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerFullError, BrokerUnavailableError, MessageOptions, QueueNotFoundError
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.publisher.pipeline import BATCH_MESSAGES, MAX_IN_FLIGHT, PublishPipeline, Request
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import look
from tests.support.strikes import LOST_CONNECTIONS, LOST_SCRIPTS, struck

REQUESTS = 8
MANY = range(REQUESTS * BATCH_MESSAGES)
CHUNKS = REQUESTS // MAX_IN_FLIGHT
"""The least number of pieces in which the requests reach a proxy, which counts pieces, not requests."""
NO_OPTIONS = MessageOptions()


@pytest.fixture
def proxied(proxy: Proxy, mq: BizzMQ, queue: str, redis: Redis) -> Iterator[Publisher]:
    """A connected publisher behind the proxy with everything cached; nothing is stored."""
    publisher = Publisher(Broker(Connection(proxy.url)))
    publisher.publish("q", ["first"], NO_OPTIONS)
    forget(redis)
    yield publisher
    publisher.close()


def forget(redis: Redis) -> None:
    """Delete what is stored, except the numbers of publishers."""
    redis.delete("bizzmq:{q}:messages", "bizzmq:{q}:waiting", "bizzmq:{q}:stats")


def stored(redis: Redis) -> Sequence[str]:
    """The waiting ids in publish order; checks that each has an envelope and was counted once."""
    found = look(redis, "q")
    assert set(redis.hkeys("bizzmq:{q}:messages")) == set(found.waiting)
    assert found.stats["published"] == len(found.waiting) == len(set(found.waiting))
    return found.waiting


def bodies(redis: Redis, ids: Sequence[str]) -> list[str]:
    return [str(redis.hget("bizzmq:{q}:messages", name)).split("\n")[1] for name in ids]


def test_all_of_them_wait_in_order(mq: BizzMQ, redis: Redis, queue: str) -> None:
    ids = mq.publish_messages_to_queue("q", MANY)

    assert len(ids) == len(MANY)
    assert stored(redis) == tuple(ids) == tuple(sorted(ids))
    assert bodies(redis, [ids[0], ids[1700], ids[-1]]) == ["0", "1700", "3999"]


def test_at_most_two_requests_are_in_flight() -> None:
    did: list[str] = []
    requests = [Request(number, [f"m{number}"], [b""]) for number in range(1, 5)]

    def send(request: Request, before: int) -> None:
        did.append(f"send {request.number} behind {before}")

    def is_stored(_: Request) -> bool:
        did.append("read")
        return True

    stored = list(PublishPipeline(send, is_stored, store=did.remove, drop=did.clear).stored(requests))

    assert stored == requests
    assert did == ["send 1 behind 0", "send 2 behind 1", "read", "send 3 behind 2", "read", "send 4 behind 3", "read",
                   "read"]  # fmt: skip


@pytest.mark.parametrize("nth", range(1, CHUNKS + 1))
@pytest.mark.parametrize("fault", ["swallow_reply", "lose_request"])
def test_a_request_or_its_reply_is_lost(proxied: Publisher, proxy: Proxy, redis: Redis, fault: str, nth: int) -> None:
    lost = getattr(proxy, fault)(nth)

    ids = proxied.publish("q", MANY, NO_OPTIONS)

    lost.wait()
    assert stored(redis) == tuple(ids)


def test_a_publish_that_gives_up_reports_what_was_published(proxied: Publisher, proxy: Proxy, redis: Redis) -> None:
    proxied._retry_for_s = 0
    proxy.lose_request(nth=CHUNKS)
    proxy.refuse()

    with pytest.raises(BrokerUnavailableError) as gave_up:
        proxied.publish("q", MANY, NO_OPTIONS)

    published = gave_up.value.published_ids
    waiting = stored(redis)
    assert len(published) >= BATCH_MESSAGES
    assert waiting[: len(published)] == tuple(published)
    assert len(waiting) - len(published) <= MAX_IN_FLIGHT * BATCH_MESSAGES


@pytest.mark.parametrize("harm", [LOST_SCRIPTS, LOST_CONNECTIONS])
def test_scripts_or_connections_are_lost_all_the_time(
    mq: BizzMQ, redis: Redis, queue: str, url: str, harm: str
) -> None:
    with struck(url, harm):
        ids = list(itertools.chain.from_iterable(mq.publish_messages_to_queue("q", MANY) for _ in range(10)))

    assert stored(redis) == tuple(ids)


def test_a_server_that_becomes_full_has_stored_what_the_error_reports(
    private_server: Callable[..., RedisServer],
) -> None:
    server = private_server()
    with server.client() as redis, BizzMQ(server.url) as mq:
        mq.create_queue("q")
        mq.publish_message_to_queue("q", "first")
        used = int(redis.info("memory")["used_memory"])
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", used + 2_000_000)

        with pytest.raises(BrokerFullError) as full:
            mq.publish_messages_to_queue("q", ["x" * 200] * 20 * BATCH_MESSAGES)

        redis.config_set("maxmemory", 0)
        published = full.value.published_ids
        assert BATCH_MESSAGES <= len(published) < 20 * BATCH_MESSAGES
        assert stored(redis)[1:] == tuple(published)


def test_a_queue_deleted_meanwhile_is_reported(mq: BizzMQ, redis: Redis, queue: str) -> None:
    mq.publish_messages_to_queue("q", MANY)
    redis.flushall()

    with pytest.raises(QueueNotFoundError):
        mq.publish_messages_to_queue("q", MANY)

    assert look(redis, "q").ids() == set()


class Interrupted(BaseException):
    pass


def test_an_interrupt_in_the_middle_leaves_no_gap_and_a_working_client(mq: BizzMQ, redis: Redis, queue: str) -> None:
    mq.publish_message_to_queue("q", "first")
    is_armed = False

    def interrupt(_number: int, _frame: Any) -> None:
        if is_armed:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for after_us in range(500, 8000, 250):
            forget(redis)
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, after_us / 1e6)
                mq.publish_messages_to_queue("q", MANY)
                is_armed = False
            except Interrupted:
                is_armed = False

            last = mq.publish_message_to_queue("q", "after")

            *interrupted, newest = stored(redis)
            assert newest == last
            assert bodies(redis, interrupted[-1:]) == [str(len(interrupted) - 1)] * bool(interrupted)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
