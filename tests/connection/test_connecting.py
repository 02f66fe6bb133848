"""Opening a client, and broken connections."""

from __future__ import annotations

import logging
import socket
import time
import traceback
from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, BizzMQError, BrokerUnavailableError, ConfigurationError
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.connection.factory import connect
from bizzmq.connection.url import check_url
from bizzmq.errors import BrokerReplyError
from bizzmq.testing.ports import free_port
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.utils.redaction import redact
from tests.scripts.containers import look
from tests.support.recording_handler import RecordingHandler

BAD_URLS = [
    "", "localhost", "localhost:6379", "http://localhost", "redis//localhost", "redis://localhost:port", "unix://",
    "redis://localhost:99999999", "redis://[::1", "memcached://x", "redis://localhost?socket_timeout=soon",
]  # fmt: skip
CANARY = "canary"
SECRET_URLS = [
    f"redis://:{CANARY}@127.0.0.1:1/0", f"redis://user:{CANARY}@h:x", f"http://user:{CANARY}@h", f"redis://:{CANARY}/x@h:1",
    f"redis://u:{CANARY}#x@h", f"redis://u:{CANARY}?x@h", f"redis://:x@{CANARY}@h:1/0", f"redis://h:x?password={CANARY}",
    f"rediss://u:{CANARY}@[h", f"redis://h:1?db=x&password={CANARY}", f"redis:///:{CANARY}@h", f"redis://{CANARY}@h",
    f"redis://{CANARY}:@h", f"redis://h?pasword={CANARY}", f"redis://h?{CANARY}", f"redis://h#{CANARY}",
    f"redis://:{CANARY}", f"redis://user:{CANARY}/0", f"redis://user:x/{CANARY}", f"user:{CANARY}", f"redis:{CANARY}@h",
    f"redis://h?password=x@{CANARY}", f"redis://h?ssl_password={CANARY}", f"redis+cluster://{CANARY}@h:1",
    f"redis+sentinel://:{CANARY}@a,b:x/s", f"redis+cluster://h,u:{CANARY}",
]  # fmt: skip


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


@pytest.mark.parametrize("bad", BAD_URLS)
def test_a_bad_url_is_a_configuration_error(bad: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        BizzMQ(bad)

    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("bad", [None, 6379, b"redis://localhost"], ids=repr)
def test_a_url_must_be_a_string(bad: object) -> None:
    with pytest.raises(ConfigurationError):
        BizzMQ(bad)  # type: ignore[arg-type]


def test_a_refused_connection_is_reported_at_once() -> None:
    started_s = time.monotonic()

    with pytest.raises(BrokerUnavailableError) as unavailable:
        BizzMQ(f"redis://127.0.0.1:{free_port()}/0")

    assert isinstance(unavailable.value, (ConnectionError, BizzMQError))
    assert time.monotonic() - started_s < 4, "it is not tried again"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}/0", "redis://:secret@127.0.0.1:{}/3"])
def test_a_port_that_never_answers_is_reported_within_5_s(silent_port: int, url: str) -> None:
    started_s = time.monotonic()

    with pytest.raises(BrokerUnavailableError):
        BizzMQ(url.format(silent_port))

    assert time.monotonic() - started_s < 5


def test_a_unix_socket_works_and_a_missing_one_is_reported(server: RedisServer, redis: Redis) -> None:
    with BizzMQ(server.unix_url) as mq:
        assert mq.create_queue("q")
    with pytest.raises(ConnectionError):
        BizzMQ("unix:///no/such/socket")


@pytest.mark.parametrize("password", ["", ":wrong@"])
def test_wrong_credentials_are_reported(private_server: Callable[..., RedisServer], password: str) -> None:
    server = private_server(password=CANARY)

    with pytest.raises(BrokerUnavailableError) as refused:
        BizzMQ(f"redis://{password}127.0.0.1:{server.port}/0")

    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_password_shows_up_in_no_error_and_no_repr(url: str) -> None:
    texts = [redact(url)]
    try:
        texts += [repr(connect(check_url(url)))]
    except ConfigurationError as error:
        texts += [str(error), repr(error), traceback.format_exc()]

    assert [text for text in texts if CANARY in text] == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:x@h:1/2?db=3&ssl_cert_reqs=none", "redis://me:***@h:1/2?db=3&ssl_cert_reqs=none"),
        ("redis+sentinel://a:1,[::1]:2/s/0", "redis+sentinel://a:1,[::1]:2/s/0"),
        ("unix:///run/r.sock?db=1", "unix:///run/r.sock?db=1"),
        ("redis://h?x=y&db=1", "redis://h?x=***&db=1"),
        ("localhost:6379", "localhost:6379"),
    ],
)
def test_values_that_are_not_secret_are_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "unix"])
@pytest.mark.parametrize("option", ["ssl_ca_certs", "nothing", "client_name=x&nothing"])
def test_an_option_without_a_value_is_refused_in_one_line(scheme: str, option: str) -> None:
    with pytest.raises(ConfigurationError, match=r"an option has no value; write \?NAME=VALUE") as refused:
        BizzMQ(f"{scheme}://{'/h' if scheme == 'unix' else 'h'}?{option}")

    assert "\n" not in str(refused.value)


def test_a_password_shows_up_in_no_log(
    private_server: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = private_server(password=CANARY)
    seen = RecordingHandler(lambda _body, _context: ValueError("x"))
    with BizzMQ(server.url) as mq:
        assert CANARY not in repr(mq) + repr(mq._new_broker().connection)
        mq.create_queue("q")
        mq.publish_message_to_queue("q", 1)
        mq.consume_message_from_queue("q", seen)
        seen.wait(1)
        server.kill()
        eventually(lambda: "Redis is unavailable" in caplog.text)
        with pytest.raises(BrokerUnavailableError) as away:
            mq.stats("q")
        server.start()
        eventually(lambda: "lease lost" in caplog.text or "available again" in caplog.text)

    assert CANARY not in caplog.text + str(away.value) + str([vars(record) for record in caplog.records])


def test_a_cut_connection_is_opened_again(mq: BizzMQ, redis: Redis, queue: str) -> None:
    redis.client_kill_filter(_type="normal", skipme=True)
    mq.publish_message_to_queue("q", 1)
    redis.client_kill_filter(_type="normal", skipme=True)

    assert mq.stats("q").waiting == 1


def test_a_connection_cut_before_a_wait_is_an_outage(broker: Broker, redis: Redis) -> None:
    broker.ping()  # the server has accepted the connection
    broker.block(["q"], 5)
    redis.client_kill_filter(_type="normal", skipme=True)

    def wait_and_read() -> None:
        if broker.connection.wait(5):
            broker.woken()

    with pytest.raises(BrokerUnavailableError):
        wait_and_read()


def test_a_consumer_survives_repeated_cuts_of_all_connections(mq: BizzMQ, redis: Redis, queue: str) -> None:
    seen = RecordingHandler()
    mq.consume_message_from_queue("q", seen)

    for number in range(60):
        mq.publish_message_to_queue("q", number)
        redis.client_kill_filter(_type="normal", skipme=True)

    eventually(lambda: set(seen.bodies) == set(range(60)), 30)
    eventually(lambda: look(redis, "q").ids() == set())


def test_a_lost_reply_does_not_answer_the_next_command(proxy: Proxy, redis: Redis) -> None:
    redis.set("one", "1")
    redis.set("two", "2")
    connection = Connection(proxy.url, timeout_s=0.2)
    connection.execute("PING")
    proxy.stall(to_server=False)
    with pytest.raises(BrokerUnavailableError):
        connection.execute("GET", "one")

    proxy.resume()

    assert connection.execute("GET", "two") == b"2"
    connection.drop()


def test_an_error_reply_keeps_the_connection(broker: Broker, redis: Redis) -> None:
    redis.set("text", "x")
    broker.ping()
    (before,) = [client["id"] for client in redis.client_list() if client["cmd"] == "ping"]

    with pytest.raises(BrokerReplyError):
        broker.connection.execute("LPUSH", "text", 1)

    assert before in [client["id"] for client in redis.client_list()]
