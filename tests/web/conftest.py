"""The dashboard in a real web server of this process, and clients of it."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Callable, Iterator

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.wait import eventually

for _module in ("starlette", "jinja2", "uvicorn", "httpx"):
    pytest.importorskip(_module, reason="the dashboard's tests need the extra `test`")

import httpx  # noqa: E402 - after the check above
import uvicorn  # noqa: E402 - the same

from bizzmq import AsyncBizzMQ  # noqa: E402 - the same
from bizzmq.web.access.passwords import Passwords  # noqa: E402 - the same
from bizzmq.web.application import application  # noqa: E402 - the same
from tests.web.site import LOOK_PASSWORD, PASSWORD, Site  # noqa: E402 - the same


class Serving:
    """An ASGI application in a real server, in a thread of this process."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", lifespan="auto", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        eventually(lambda: self._server.started, 30)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def close(self) -> None:
        site = getattr(getattr(self.app, "state", None), "site", None)
        if site is not None:
            site.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Serving]]:
    """Serve an application: serve(app).url is its address."""
    started: list[Serving] = []

    def start(app: Any) -> Serving:
        started.append(Serving(app))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def alone(url: str, serve: Callable[[Any], Serving]) -> Serving:
    """The dashboard as `bizzmq dashboard` serves it."""
    passwords = Passwords(PASSWORD, LOOK_PASSWORD)
    return serve(application(AsyncBizzMQ(url), passwords.authorize, passwords))


@pytest.fixture
def site(alone: Serving) -> Iterator[Site]:
    """A browser without JavaScript that may act."""
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        made = Site(client)
        made.sign_in(PASSWORD)
        yield made


@pytest.fixture
def failed(mq: BizzMQ, queue: str) -> Callable[..., list[str]]:
    """Make dead letters: failed(3, error=ValueError("no")) returns their ids."""

    def make(number: int, *, error: Exception | None = None, body: Any = None, **options: Any) -> list[str]:
        from bizzmq import MessageOptions

        wanted = MessageOptions(retries=0, **options)
        ids = mq.publish_messages_to_queue(
            queue, [body if body is not None else {"n": n} for n in range(number)], wanted
        )

        def handle(_body: Any) -> None:
            raise error or ZeroDivisionError("division by zero")

        mq.consume_until_empty(queue, handle, 60)
        return ids

    return make
