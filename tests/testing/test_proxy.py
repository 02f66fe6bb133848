"""The proxy of the fault kit: it stalls, cuts and loses replies on request."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import NO_ANSWER
from bizzmq.testing.wait import eventually

INCR = b"INCR"


def through(proxy: Proxy, **options: Any) -> Redis:
    arguments = {"protocol": 2, "socket_timeout": 5.0, "retry": Retry(NoBackoff(), 0), **options}
    return Redis.from_url(proxy.url, **arguments)


def test_requests_and_replies_of_any_size_pass(proxy: Proxy) -> None:
    value = os.urandom(3_000_000)
    with through(proxy) as client:
        client.set("key", value)
        assert client.get("key") == value

    assert proxy.connections == 1
    assert proxy.requests >= 2
    eventually(lambda: proxy.open_connections == 0, what="the link to end with its client")


def test_a_stall_holds_everything_back_until_resume(proxy: Proxy, redis: Redis) -> None:
    with through(proxy, socket_timeout=2) as client:
        client.ping()
        proxy.stall()
        with pytest.raises(NO_ANSWER):
            client.incr("counter")
        assert redis.get("counter") is None

        proxy.resume()

        eventually(lambda: redis.get("counter") == "1")


def test_stalled_replies_let_requests_be_executed(proxy: Proxy, redis: Redis) -> None:
    with through(proxy, socket_timeout=2) as client:
        client.ping()
        proxy.stall(to_server=False)
        with pytest.raises(NO_ANSWER):
            client.incr("counter")

    assert redis.get("counter") == "1"


def test_cut_ends_waiting_clients_and_accepts_new_ones(proxy: Proxy) -> None:
    lost = threading.Event()

    def wait() -> None:
        with pytest.raises(RedisConnectionError):
            client.blpop(["nothing"], 10)
        lost.set()

    with through(proxy, socket_timeout=20.0) as client:
        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: proxy.requests and proxy.open_connections)
        proxy.cut()
        waiting.join()

        assert lost.is_set()
        assert client.ping()


def test_a_swallowed_reply_was_executed_once_and_the_client_gets_an_error(proxy: Proxy, redis: Redis) -> None:
    with through(proxy) as client:
        client.incr("counter")
        fault = proxy.swallow_next_reply(INCR)
        client.ping()
        with pytest.raises(RedisConnectionError):
            client.incr("counter")

        fault.wait()
        assert redis.get("counter") == "2"
        assert client.incr("counter") == 3


def test_a_long_reply_is_swallowed_whole(proxy: Proxy, redis: Redis) -> None:
    redis.set("long", "x" * 5_000_000)
    with through(proxy) as client:
        proxy.swallow_next_reply(b"long")
        with pytest.raises(RedisConnectionError):
            client.get("long")

        assert client.ping()


def test_the_nth_reply_is_swallowed_and_no_other(proxy: Proxy) -> None:
    with through(proxy) as client:
        proxy.swallow_reply(3, INCR)
        assert [client.incr("counter"), client.incr("counter")] == [1, 2]
        with pytest.raises(RedisConnectionError):
            client.incr("counter")
        assert client.incr("counter") == 4


def test_a_lost_request_is_not_executed(proxy: Proxy, redis: Redis) -> None:
    with through(proxy) as client:
        proxy.lose_request(match=INCR)
        with pytest.raises(RedisConnectionError):
            client.incr("counter")

        assert redis.get("counter") is None


def test_refused_clients_get_an_error_until_accepted_again(proxy: Proxy) -> None:
    with through(proxy) as old, through(proxy) as new:
        old.ping()
        proxy.refuse()
        with pytest.raises(RedisConnectionError):
            new.ping()
        assert old.ping()

        proxy.accept()

        assert new.ping()


def test_without_its_client_the_server_keeps_a_half_open_connection(proxy: Proxy, redis: Redis) -> None:
    def waiting() -> bool:
        return any(client["cmd"] == "blpop" for client in redis.client_list())

    def wait() -> None:
        with pytest.raises(RedisConnectionError):
            client.blpop(["list"], 0)

    with through(proxy) as client:
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(waiting)

        proxy.cut_client_side()
        thread.join()

        assert waiting()
        redis.rpush("list", "into the void")
        eventually(lambda: redis.llen("list") == 0)
        proxy.cut()


def test_without_its_server_the_client_waits_until_its_timeout(proxy: Proxy) -> None:
    with through(proxy, socket_timeout=2) as client:
        client.ping()
        proxy.cut_server_side()
        with pytest.raises(NO_ANSWER):
            client.ping()


def test_closing_ends_all_threads_even_in_a_stall(url: str) -> None:
    before = set(threading.enumerate())
    with Proxy(url) as proxy, through(proxy, socket_timeout=2) as client:
        client.ping()
        proxy.stall()
        with pytest.raises(NO_ANSWER):
            client.ping()

    assert set(threading.enumerate()) <= before
