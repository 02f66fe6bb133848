"""Errors of Redis at the start: a permanent one is exit code 2, and a burst does not wait forever."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, QueueOptions
from bizzmq.connection.base import Connection
from bizzmq.doctor.server_info import missing_commands
from bizzmq.errors import BrokerUnusableError
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from tests.faults.scene import PATIENCE_S, Scene
from tests.pool.command import OPERATOR, WORKER, refused, run
from tests.support.forked_command import bizzmq
from tests.support.slow_relay import slow_relay

NOOP = "tests.handlers:noop"
PASSWORD = "kept-for-itself"


@pytest.fixture
def http() -> Iterator[int]:
    """The port of a server that answers every request like an HTTP server."""
    listener = socket.create_server((LOOPBACK, 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                link.recv(1000)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5.0)


@pytest.fixture
def addresses(server: RedisServer, private_server: Callable[..., RedisServer], http: int) -> dict[str, str]:
    """Addresses with a permanent error."""
    guarded = private_server(password=PASSWORD).port
    return {
        "database": f"redis://{LOOPBACK}:{server.port}/99",
        "wrong password": f"redis://:wrong@{LOOPBACK}:{guarded}/0",
        "no password": f"redis://{LOOPBACK}:{guarded}/0",
        "needless password": f"redis://nobody:wrong@{LOOPBACK}:{server.port}/0",
        "cluster": f"redis+cluster://{LOOPBACK}:{server.port}",
        "sentinel": f"redis+sentinel://{LOOPBACK}:{server.port}/main",
        "http": f"redis://{LOOPBACK}:{http}/0",
    }


def test_the_bizzmq_command_and_the_client_report_a_permanent_error(addresses: dict[str, str]) -> None:
    for url in addresses.values():
        ended = bizzmq("queues", REDIS_URL=url)
        assert (ended.code, ended.out) == (2, ""), url
        assert ended.err.startswith("bizzmq: Redis cannot be used: "), url
        assert ended.err.count("\n") == 1
        assert "wrong@" not in ended.err
        with pytest.raises(BrokerUnusableError):
            BizzMQ(url)


@pytest.mark.usually(2)
@pytest.mark.parametrize("what", ["database", "wrong password", "cluster", "sentinel"])
def test_a_pool_does_not_wait_after_a_permanent_error(addresses: dict[str, str], what: str) -> None:
    ended = run(WORKER, NOOP, "--concurrency=1", "--log-level=error", BIZZMQ_REDIS_URL=addresses[what])

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("bizzmq-worker: Redis cannot be used: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("host", [LOOPBACK, "no-such-host.invalid"])
def test_a_burst_does_not_wait_forever(host: str) -> None:
    url = f"redis://{host}:{free_port()}/0"

    ended = run(WORKER, NOOP, "--burst", "--burst-patience=0.5", "--concurrency=1", BIZZMQ_REDIS_URL=url)

    assert ended.code == 75
    assert "Redis has been away for 0.5 s, and a burst does not wait longer (--burst-patience)" in ended.err


def test_a_wrong_patience_is_refused(url: str) -> None:
    assert "--burst-patience" in refused(WORKER, NOOP, "--burst", "--burst-patience=0", BIZZMQ_REDIS_URL=url)


NO_HOSTS = ["redis://a..b:6379", "redis://.redis.svc/0", "rediss://a..b", f"redis://{'x' * 64}/0", "redis+cluster://a..b",
            f"redis+cluster://{LOOPBACK}:1,a..b:2", "redis+sentinel://a..b/main", "redis://\udcff/0",
            f"redis://{LOOPBACK}/0?client_name=a%20b", f"redis://{LOOPBACK}/0?client_name=%C3%BC",
            "embedded:///tmp/\udcff"]  # fmt: skip


@pytest.mark.usually(2)
@pytest.mark.parametrize("url", NO_HOSTS)
def test_an_impossible_address_is_invalid_input(url: str) -> None:
    for command in (["queues"], ["doctor"], ["publish", "q", "1"]):
        line = refused(OPERATOR, "--redis-url", url, *command)
        assert "bad Redis URL" in line or "is not UTF-8" in line, line
    assert "defect" not in refused(WORKER, NOOP, "--redis-url", url)
    with pytest.raises(ConfigurationError):
        BizzMQ(url)


def test_an_invalid_host_named_by_redis_causes_no_traceback() -> None:
    connection = Connection(f"redis://{LOOPBACK}:1/0")
    connection._options["host"] = "a..b"

    with pytest.raises(BrokerUnusableError, match="host name is invalid"):
        connection.execute("PING")


def test_a_refusal_while_connecting_concerns_the_address_and_not_a_queue(url: str) -> None:
    connection = Connection(url)
    connection._options["client_name"] = "two words"

    with pytest.raises(BrokerUnusableError, match="Client names cannot contain spaces"):
        connection.execute("PING")


@pytest.mark.usually(3)
@pytest.mark.parametrize(
    ("queue", "reported"),
    [("nosuch:1", "there is no queue 'nosuch'"), ("plain:1", "'plain' has 1"), ("wide:3", "'wide' has 3"),
     ("wide:1_dlq:2", "")],
)  # fmt: skip
@pytest.mark.parametrize("mode", [[], ["--burst"]])
def test_a_missing_shard_is_invalid_input(url: str, queue: str, reported: str, mode: list[str]) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("plain")
        mq.create_queue("wide", QueueOptions(shards=3))

    ended = run(WORKER, NOOP, "-c1", "-q", queue, "--log-level=error", *mode, BIZZMQ_REDIS_URL=url)

    assert (ended.code, ended.out) == (2, ""), ended
    assert ended.err.splitlines()[-1].startswith("bizzmq-worker: "), ended
    assert reported in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err


def test_an_existing_shard_is_served(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("wide", QueueOptions(shards=3))
        for _ in range(3):
            mq.publish_message_to_queue("wide", None)  # each is published to the next shard

        ended = run(WORKER, NOOP, "-c1", "-q", "wide:2", "--burst", BIZZMQ_REDIS_URL=url)

        assert ended.code == 0
        assert (mq.stats("wide:2").acked, mq.stats("wide").acked) == (1, 1)


@pytest.mark.nightly
def test_a_slow_redis_gets_all_checks_and_no_process_is_considered_stuck(scene: Scene) -> None:
    """The checks at the start take longer than a janitor may be silent."""
    with slow_relay(scene.url, 0.4) as url:
        pool = scene.pool(ready=False, url=url)
        scene.ledger.wait_handled(*scene.publish({"do": "ok"}), timeout_s=60.0)
        janitor = pool.janitor_pid()
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0

    assert pool.log().count("janitor started") == 1, pool.log()
    assert janitor


def test_a_sign_of_life_is_sent_before_each_check(redis: Redis, url: str) -> None:
    asked: list[int] = []
    connection = Connection(url)
    try:
        assert missing_commands(connection, ["get", "no-such-command", "set"], lambda: asked.append(1)) == [
            "no-such-command"
        ]
    finally:
        connection.drop()
    assert len(asked) == 3
