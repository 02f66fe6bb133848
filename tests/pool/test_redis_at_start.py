"""What Redis answers at the start: what no waiting mends is exit code 2, and a burst does not wait for ever."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.connection import Connection
from bizzmq.errors import BrokerUnusableError
from bizzmq.server_info import missing_commands
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from tests.faults.scene import PATIENCE_S, Scene
from tests.pool.command import WORKER, refused, run
from tests.support.forked import bizzmq
from tests.support.slow_relay import slow_relay

NOOP = "tests.handlers:noop"
PASSWORD = "kept-for-itself"


@pytest.fixture
def http() -> Iterator[int]:
    """The port of a server that answers whatever it is asked as one of HTTP does."""
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
    """Addresses that no waiting makes right."""
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


def test_the_operators_command_and_the_client_say_what_no_waiting_mends(addresses: dict[str, str]) -> None:
    for url in addresses.values():
        ended = bizzmq("queues", REDIS_URL=url)
        assert (ended.code, ended.out) == (2, ""), url
        assert ended.err.startswith("bizzmq: Redis cannot be used: "), url
        assert ended.err.count("\n") == 1
        assert "wrong@" not in ended.err
        with pytest.raises(BrokerUnusableError):
            BizzMQ(url)


@pytest.mark.parametrize("what", ["database", "wrong password", "cluster", "sentinel"])
def test_a_pool_does_not_wait_for_what_no_waiting_mends(addresses: dict[str, str], what: str) -> None:
    ended = run(WORKER, NOOP, "--concurrency=1", "--log-level=error", BIZZMQ_REDIS_URL=addresses[what])

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("bizzmq-worker: Redis cannot be used: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("host", [LOOPBACK, "no-such-host.invalid"])
def test_a_burst_does_not_wait_for_ever(host: str) -> None:
    url = f"redis://{host}:{free_port()}/0"

    ended = run(WORKER, NOOP, "--burst", "--burst-patience=0.5", "--concurrency=1", BIZZMQ_REDIS_URL=url)

    assert ended.code == 75
    assert "Redis has been away for 0.5 s, and a burst does not wait longer (--burst-patience)" in ended.err


def test_a_wrong_patience_is_refused(url: str) -> None:
    assert "--burst-patience" in refused(WORKER, NOOP, "--burst", "--burst-patience=0", BIZZMQ_REDIS_URL=url)


@pytest.mark.nightly
def test_a_redis_that_is_far_away_is_asked_all_and_nobody_passes_for_stuck(scene: Scene) -> None:
    """The questions at the start last longer than a janitor may be silent."""
    with slow_relay(scene.url, 0.4) as url:
        pool = scene.pool(ready=False, url=url)
        scene.ledger.wait_handled(*scene.publish({"do": "ok"}), timeout_s=60.0)
        janitor = pool.janitor_pid()
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0

    assert pool.log().count("janitor started") == 1, pool.log()
    assert janitor


def test_a_sign_of_life_comes_before_each_question(redis: Redis, url: str) -> None:
    asked: list[int] = []
    connection = Connection(url)
    try:
        assert missing_commands(connection, ["get", "no-such-command", "set"], lambda: asked.append(1)) == [
            "no-such-command"
        ]
    finally:
        connection.drop()
    assert len(asked) == 3
