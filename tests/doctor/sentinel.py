"""A Sentinel, whose URL is used like that of a server by mistake."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

from redis import Redis
from redis.exceptions import RedisError

from bizzmq.testing.binaries import server_binary
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually


@contextlib.contextmanager
def a_sentinel(directory: Path) -> Iterator[str]:
    """The URL of a Sentinel that watches nothing."""
    port = free_port()
    configuration = directory / "sentinel.conf"
    configuration.write_text(f"port {port}\nbind {LOOPBACK}\ndir {directory}\n")
    with (directory / "sentinel.log").open("ab") as output:
        process = spawn([server_binary(), str(configuration), "--sentinel"], output, directory)
    try:
        with Redis(host=LOOPBACK, port=port, protocol=2, socket_timeout=5.0) as client:
            eventually(client.ping, 30.0, "the sentinel to answer", ignoring=(RedisError,))
        yield f"redis://{LOOPBACK}:{port}"
    finally:
        process.kill()
        process.wait()
