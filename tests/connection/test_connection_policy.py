"""docs/operations/connections.md: retries, the number of connections, how a dead connection is noticed."""

from __future__ import annotations

import functools
import logging
import signal
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions
from bizzmq.connection.base import Connection
from bizzmq.errors import BrokerUnavailableError, ConnectionLimitError
from bizzmq.protocol.ids import published_us
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.utils.object_pool import ObjectPool, PoolEntry
from tests.support.wall_clock import WallClock, compiler

CALLS: dict[str, Callable[[BizzMQ], Any]] = {
    "stats": lambda mq: mq.stats("q").published,
    "create a queue": lambda mq: mq.create_queue("q"),
    "publish one": lambda mq: len(mq.publish_message_to_queue("q", 1)),
    "publish many": lambda mq: len(mq.publish_messages_to_queue("q", [1] * 1200)),
    "publish delayed": lambda mq: len(mq.publish_message_to_queue("q", 1, MessageOptions(delay_s=60))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_connection_closed_while_idle_causes_no_failure_and_no_log_line(
    mq: BizzMQ, redis: Redis, queue: str, caplog: pytest.LogCaptureFixture, call: Callable[[BizzMQ], Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    before = call(mq)

    for _ in range(3):
        redis.client_kill_filter(_type="normal", skipme=True)
        assert call(mq) == before

    assert caplog.records == []


def waits_for_s(redis: Redis) -> int:
    """How long the consumer has waited for a wake-up, in whole seconds; -1 if it is not waiting."""
    return max((int(client["idle"]) for client in redis.client_list() if client["cmd"] == "bzpopmin"), default=-1)


def test_a_consumer_whose_connections_are_closed_while_it_waits_logs_nothing(
    mq: BizzMQ, redis: Redis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[Any] = []
    mq.consume_message_from_queue("q", handled.append)
    for number in range(2):
        eventually(lambda: waits_for_s(redis) >= 2, 30)  # longer than the time after which an outage is logged
        redis.client_kill_filter(_type="normal", skipme=True)
        mq.publish_message_to_queue("q", number)
        eventually(lambda: len(handled) == number + 1, 30)  # noqa: B023

    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == []


def test_an_unavailable_server_is_still_logged(proxy: Proxy) -> None:
    with BizzMQ(proxy.url) as mq:
        mq.create_queue("q")
        proxy.refuse()
        proxy.cut()

        with pytest.raises(BrokerUnavailableError):
            mq.stats("q")


def test_stats_over_a_silent_connection_is_repeated(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load balancer that has lost the connection drops packets silently."""
    new = BizzMQ._new_broker
    monkeypatch.setattr(BizzMQ, "_new_broker", lambda mq, timeout_s=0.5: new(mq, min(timeout_s, 0.5)))
    with BizzMQ(proxy.url) as mq:
        mq.create_queue("q")
        proxy.stall()
        threading.Timer(0.3, proxy.resume).start()

        assert mq.stats("q").waiting == 0


def test_each_tcp_connection_is_probed_and_bounded_by_the_kernel(url: str) -> None:
    connection = Connection(url)
    connection.execute("PING")
    assert connection._socket is not None
    used = connection._socket.socket

    assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPIDLE"):
        idle_s, interval_s, probes = (
            used.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle_s + interval_s * probes == 60
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert 0 < used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < 5000
    connection.drop()


def test_200_threads_share_ten_connections(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(config=["maxclients 20"])
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")

        assert publish_in_threads(mq, 200) == []

        assert mq.stats("q").published == 200
        with server.client() as redis:
            eventually(lambda: len(redis.client_list()) <= 12)  # the server notices a little later that one is closed


def test_300_threads_leave_ten_connections(mq: BizzMQ, redis: Redis, queue: str) -> None:
    assert publish_in_threads(mq, 300) == []

    eventually(lambda: len(redis.client_list(_type="normal")) <= 12)


def publish_in_threads(mq: BizzMQ, count: int) -> list[BaseException]:
    """Publish from several threads at once; returns their exceptions."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(count)

    def publish() -> None:
        barrier.wait(60)
        try:
            mq.publish_message_to_queue("q", 1)
        except BaseException as error:  # noqa: BLE001 - any error
            failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3", True, None])
def test_an_invalid_connection_limit_is_refused(url: str, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_connections"):
        BizzMQ(url, max_connections=limit)


class Thing:
    """An object of the pool."""

    pool_entry: PoolEntry

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_waiting_too_long_raises_and_a_nested_call_does_not_wait() -> None:
    hasty: ObjectPool[Thing] = ObjectPool(Thing, limit=1, patience_s=0.3)
    taken = hasty.acquire()
    with pytest.raises(ConnectionLimitError, match="all 1 connections"):
        hasty.acquire()
    hasty.release(taken)
    pool: ObjectPool[Thing] = ObjectPool(Thing, limit=1, patience_s=30.0)
    first = pool.acquire()
    threading.Timer(0.1, pool.release, [first]).start()
    assert pool.acquire() is first

    def user(depth: int) -> list[Thing]:
        taken = nested.acquire()
        return [taken, *(user(depth - 1) if depth else [])]

    nested: ObjectPool[Thing] = ObjectPool(Thing, [user.__code__], limit=1, patience_s=0.3)
    assert len(user(3)) == 4


def test_an_object_that_is_never_released_is_not_counted() -> None:
    pool: ObjectPool[Thing] = ObjectPool(Thing, limit=1, patience_s=5)

    for _ in range(5):
        pool.acquire()
    lost = pool.acquire()
    pool.discard(lost)

    assert lost.is_closed
    assert pool.acquire() is not lost


def test_a_long_idle_object_is_closed_when_another_is_released() -> None:
    pool: ObjectPool[Thing] = ObjectPool(Thing, idle_s=60.0)
    old, used = pool.acquire(), pool.acquire()
    pool.release(old)
    pool.release(used)
    old.pool_entry.idle_since_s -= 61.0

    for _ in range(2):
        pool.release(pool.acquire())

    assert (old.is_closed, used.is_closed) == (True, False)


def test_a_signal_handler_publishes_while_its_thread_does(url: str) -> None:
    with BizzMQ(url, max_connections=1) as mq:
        mq.create_queue("q")
        nested: list[str] = []
        previous = signal.signal(signal.SIGALRM, lambda *_: nested.append(mq.publish_message_to_queue("q", "nested")))

        def bodies() -> Iterator[int]:
            signal.raise_signal(signal.SIGALRM)
            yield 1

        try:
            mq.publish_messages_to_queue("q", bodies())
        finally:
            signal.signal(signal.SIGALRM, previous)

        assert (len(nested), mq.stats("q").waiting) == (1, 2)


class Limit:
    """A time limit as a callable object."""

    def __call__(self, *_: object) -> None:
        raise TimeoutError("mine")

    def method(self, *_: object) -> None:
        self()


@pytest.mark.parametrize("handler", [Limit(), Limit().method, functools.partial(Limit().method, 1)])
def test_a_time_limit_that_raises_a_system_error_is_not_treated_as_an_outage(proxy: Proxy, handler: Any) -> None:
    with BizzMQ(proxy.url) as mq:
        mq.create_queue("q")
        previous = signal.signal(signal.SIGALRM, handler)
        try:
            proxy.stall()
            for call in (lambda: mq.publish_message_to_queue("q", 1), lambda: mq.stats("q")):
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(TimeoutError, match="mine"):
                    call()
        finally:
            signal.signal(signal.SIGALRM, previous)
            proxy.resume()

        assert mq.create_queue("q") is False


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_each_exception_of_a_publish_has_the_stored_ids(
    mq: BizzMQ, redis: Redis, queue: str, error: type[BaseException]
) -> None:
    def bodies() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(error) as raised:
        mq.publish_messages_to_queue("q", bodies())

    assert raised.value.published_ids == []


def test_an_interrupted_publish_of_many_has_the_stored_ids(mq: BizzMQ, redis: Redis, queue: str) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, stop)
    try:
        mq.publish_messages_to_queue("q", range(100))
        reported_ids: list[str] = []
        for wait_s in (0.03, 0.06, 0.09, 0.12):
            signal.setitimer(signal.ITIMER_REAL, wait_s)
            with pytest.raises(KeyboardInterrupt) as raised:
                publish_forever(mq, reported_ids)
            reported_ids += raised.value.published_ids
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert set(reported_ids) <= {str(name) for name in redis.hkeys("bizzmq:{q}:messages")}
    assert len(set(reported_ids)) == len(reported_ids)


def publish_forever(mq: BizzMQ, reported_ids: list[str]) -> None:
    while True:
        reported_ids += mq.publish_messages_to_queue("q", range(5000))


@pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")
def test_a_clock_step_of_redis_is_noticed_at_a_new_connection_and_by_age(
    private_server: Callable[..., RedisServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bizzmq.utils.clock.AGE_S", 0.2)
    wall_clock = WallClock(tmp_path)
    server = private_server(env=wall_clock.env)
    with BizzMQ(server.url) as mq, server.client() as redis:
        mq.create_queue("q")

        def is_right() -> bool:
            seconds, micros = redis.time()
            stamp_us = published_us(mq.publish_message_to_queue("q", 1))
            return bool(abs(stamp_us - (seconds * 1_000_000 + micros)) < 5_000_000)

        assert is_right()
        for offset_s in (600, 0, -600):
            wall_clock.set(offset_s)
            eventually(is_right, 30)
        monkeypatch.setattr("bizzmq.utils.clock.AGE_S", 3600.0)
        eventually(is_right, 30)
        wall_clock.set(600)
        redis.client_kill_filter(_type="normal", skipme=True)
        eventually(is_right, 30)  # a server may close a killed connection after its reply
