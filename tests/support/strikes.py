"""A command that harms clients, sent all the time while a test works."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator

from redis import Redis

from bizzmq.testing.layout import command
from tests.support.meanwhile import meanwhile

LOST_SCRIPTS = "SCRIPT FLUSH"
LOST_CONNECTIONS = "CLIENT KILL TYPE normal SKIPME yes"


@contextmanager
def struck(url: str, harm: str) -> Iterator[None]:
    """While this lasts, a thread sends the command every 2 ms."""
    over = threading.Event()

    def strike() -> None:
        with Redis.from_url(url) as own:
            while not over.wait(0.002):
                command(own, *harm.split())

    with meanwhile(strike):
        try:
            yield
        finally:
            over.set()
