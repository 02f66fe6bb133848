"""AsyncBizzMQ in uvicorn: requests publish at the same time, and the server's shutdown ends the consumer in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq.testing.ports import free_port
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.paths import ROOT

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


class WebServer:
    def __init__(self, url: str, loop: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-X", "dev", "-m", "uvicorn", "tests.aio.web_app:app",
             "--port", str(self.port), "--loop", loop, "--lifespan", "on", "--log-level", "warning"],
            cwd=ROOT, env={**os.environ, "BIZZMQ_REDIS_URL": url}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def call(self, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", data, timeout=30) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[1]
        try:
            self.call()
        except urllib.error.URLError:
            return False
        return True

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[1]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_web_server(url: str) -> Iterator[Callable[[str], WebServer]]:
    started: list[WebServer] = []

    def start(loop: str) -> WebServer:
        server = WebServer(url, loop)
        started.append(server)
        eventually(server.answers, 60)
        return server

    yield start
    for server in started:
        server.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_requests_publish_and_the_shutdown_is_orderly(
    start_web_server: Callable[[str], WebServer], redis: Redis, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    server = start_web_server(loop)

    with ThreadPoolExecutor(16) as callers:
        ids = [answer["id"] for answer in callers.map(server.call, [{"n": number} for number in range(200)])]

    assert len(set(ids)) == 200
    eventually(lambda: server.call() == {"acked": 200, "handled": 200}, 30)
    errors = server.end()
    for word in ("Traceback", "never retrieved", "was destroyed", "ResourceWarning", "never awaited"):
        assert word not in errors, errors
    assert look(redis, "q").supervisors == {}
