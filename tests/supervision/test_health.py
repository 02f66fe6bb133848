"""The health port: /live while the loop runs, /ready while messages can be handled."""

from __future__ import annotations

import http.client
import re
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq import BizzMQ
from bizzmq.errors import ConfigurationError
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers import WorkerConfig
from bizzmq.workers.control import health
from tests.faults.gated_handler import HANDLER, Gate
from tests.pool.command import WORKER, refused, run
from tests.supervision.pool_status import socket_of

StartPool = Callable[..., Pool]
TOKEN = "a token that nobody guesses"
HEALTH = ["--health-port", "0"]


def port_of(pool: Pool) -> int:
    found = eventually(lambda: re.search(r"health port open host=\S+ port=(\d+)", pool.log()), 20.0, pool.log)
    return int(found[1])


def get(pool: Pool, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(pool), timeout=30.0)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode().strip()
    finally:
        connection.close()


def test_live_and_ready(start_pool: StartPool, url: str) -> None:
    pool = start_pool(url, args=HEALTH)

    eventually(lambda: get(pool, "/ready") == (200, "ok"))

    assert get(pool, "/live") == (200, "ok")
    assert get(pool, "/live?probe=1") == (200, "ok")
    assert get(pool, "/")[0] == get(pool, "/livet")[0] == get(pool, "/live/../ready")[0] == 404
    for method in ("POST", "HEAD", "PUT", "DELETE"):
        assert get(pool, "/live", method)[0] == 405


def test_a_pool_without_redis_is_live_and_not_ready(start_pool: StartPool, private_server: Any) -> None:
    server = private_server()
    pool = start_pool(server.url, args=HEALTH)
    eventually(lambda: get(pool, "/ready")[0] == 200)

    server.kill()

    eventually(lambda: get(pool, "/ready") == (503, "Redis is away"), 30)
    assert get(pool, "/live")[0] == 200
    server.start()
    eventually(lambda: get(pool, "/ready")[0] == 200, 30)


def test_a_pool_whose_workers_cannot_work_yet_is_not_ready(start_pool: StartPool, url: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "slow_tasks.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
        "def handler(body): pass\n"
    )
    pool = start_pool(url, handler="slow_tasks:handler", args=HEALTH, env={"PYTHONPATH": f"{tmp_path}"})

    assert get(pool, "/ready") == (503, "no worker works")
    assert get(pool, "/live")[0] == 200
    gate.touch()
    eventually(lambda: get(pool, "/ready")[0] == 200)


def test_a_paused_pool_is_live_and_not_ready(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, args=HEALTH, handler="tests.handlers:noop")
    eventually(lambda: get(pool, "/ready")[0] == 200, 20.0)
    at = f"--control={socket_of(pool, runtime)}"
    assert run(WORKER, at, "--check=ready").code == 0

    pool.signal(signal.SIGTSTP)

    eventually(lambda: get(pool, "/ready") == (503, "paused"), 20.0)
    assert get(pool, "/live")[0] == 200
    assert "the pool is not ready: paused" in refused(WORKER, at, "--check=ready", code=1)
    assert run(WORKER, at, "--check=live").code == 0
    pool.signal(signal.SIGTSTP)
    pool.signal(signal.SIGCONT)
    eventually(lambda: get(pool, "/ready") == (200, "ok"), 20.0)
    pool.signal(signal.SIGTSTP)
    eventually(lambda: get(pool, "/ready") == (503, "paused"), 20.0)
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0


def test_a_draining_pool_is_live_and_not_ready(start_pool: StartPool, url: str, redis: Any, tmp_path: Path) -> None:
    pool = start_pool(url, args=HEALTH, handler=HANDLER)
    pool.wait_ready()
    gate = Gate(tmp_path / "gate")
    with BizzMQ(url) as mq:
        mq.publish_message_to_queue("q", gate.body())
        eventually(lambda: mq.stats("q").processing == 1)

    pool.signal(signal.SIGTERM)

    eventually(lambda: get(pool, "/ready") == (503, "draining"))
    assert get(pool, "/live")[0] == 200
    gate.open()
    assert pool.wait() == 0


def test_a_token_is_required(start_pool: StartPool, url: str) -> None:
    pool = start_pool(url, args=[*HEALTH, "--health-host", "0.0.0.0"], env={"BIZZMQ_WORKER_HEALTH_TOKEN": TOKEN})
    pool.wait_ready()

    assert get(pool, "/live")[0] == 401
    assert get(pool, "/nowhere")[0] == 401
    assert get(pool, "/live", headers={"Authorization": f"Bearer {TOKEN}x"})[0] == 401
    assert get(pool, "/live", headers={"Authorization": f"Basic {TOKEN}"})[0] == 401
    assert get(pool, "/live", headers={"authorization": f"bearer {TOKEN}"}) == (200, "ok")
    assert TOKEN not in pool.log()


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--health-host", "0.0.0.0"], "BIZZMQ_WORKER_HEALTH_TOKEN"),
        (["--health-host", "::"], "BIZZMQ_WORKER_HEALTH_TOKEN"),
        (["--health-host", "example.org"], "IP address or localhost"),
        (["--health-host", "192.0.2.1", "--health-port", "1"], "BIZZMQ_WORKER_HEALTH_TOKEN"),
        (["--health-port", "70000"], "70000"),
    ],
)
def test_a_bad_address_is_one_line_and_nothing_is_started(
    start_pool: StartPool, url: str, redis: Any, arguments: list[str], complaint: str
) -> None:
    pool = start_pool(url, args=[*HEALTH, *arguments])

    assert pool.wait() == 2
    assert complaint in pool.log()
    assert pool.log().count("\n") == 1
    assert redis.keys("*") == []


def test_a_taken_port_is_one_line_and_nothing_is_left(start_pool: StartPool, url: str, runtime: Path) -> None:
    first = start_pool(url, args=HEALTH)
    port = port_of(first)

    second = start_pool(url, args=["--health-port", str(port)])

    assert second.wait() == 2
    assert f"the health port 127.0.0.1:{port} cannot be bound" in second.log()
    assert second.log().count("\n") == 1
    assert len(list((runtime / "bizzmq").iterdir())) == 1


@pytest.mark.parametrize("token", ["canary\n", " canary", " ", "canary\tcanary", "canary\x7f"])
def test_a_token_that_no_client_can_send_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="no client can send that") as refused:
        WorkerConfig(HANDLER, health_token=token)
    assert "canary" not in str(refused.value)


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(WorkerConfig("tasks:handler", health_token=TOKEN))


@pytest.mark.parametrize(
    "request_bytes", [b"GET /live\r\n\r\n", b"\x00\r\n\r\n", b"GET  /live HTTP/1.1\r\n\r\n", b"\n\n"]
)
def test_a_request_that_is_not_http_is_refused(request_bytes: bytes) -> None:
    reply = health.answer_with("", lambda: "")(request_bytes)

    assert reply is not None
    assert reply.startswith(b"HTTP/1.1 400 ")


def test_an_incomplete_request_is_waited_for() -> None:
    answer = health.answer_with("", lambda: "")

    assert answer(b"") is None
    assert answer(b"GET /live HTTP/1.1\r\nHost: x\r\n") is None
    assert b"200 OK" in (answer(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n") or b"")


def test_loopback_addresses_are_recognized() -> None:
    assert health.is_loopback("127.0.0.1")
    assert health.is_loopback("127.9.9.9")
    assert health.is_loopback("::1")
    assert health.is_loopback("localhost")
    assert not health.is_loopback("10.0.0.1")
    with pytest.raises(ConfigurationError):
        health.is_loopback("localhost.example.org")
