"""The server of a measurement, and its figures."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Iterator, Mapping

import click

from bizzmq import BizzMQ, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.embedded import keeper
from bizzmq.embedded import server as embedded

EMBEDDED = "embedded"
QUEUE = "bench"


class Server:
    """A running server with one queue for the messages of the measurement."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mq = BizzMQ(url)
        self.broker = Broker(Connection(url))
        self.mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
        before = self.mq.stats(QUEUE)
        if before.waiting + before.delayed + before.processing + before.dead_lettered:
            raise click.ClickException(f"the queue {QUEUE} on this server is not empty")

    def close(self) -> None:
        self.mq.close()
        self.broker.connection.drop()

    def info(self, section: str) -> Mapping[str, str]:
        """The lines of INFO SECTION."""
        text = self.broker.connection.execute("INFO", section).decode("utf-8", "replace")
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def calls(self) -> Mapping[str, int]:
        """The number of calls of each command, including those inside scripts."""
        return {
            name[len("cmdstat_") :].lower(): int(value.split(",")[0].partition("=")[2])
            for name, value in self.info("commandstats").items()
        }

    def cpu_s(self) -> float:
        """CPU time of the server process, seconds."""
        used = self.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def acked(self) -> int:
        """The number of messages of the queue that were ever acked."""
        return int(self.broker.connection.execute("HGET", self.broker.keys(QUEUE).stats, "acked") or 0)

    def waiting_clients(self) -> int:
        """The number of blocked connections: each idle worker has one."""
        return int(self.info("clients")["blocked_clients"])

    def about(self) -> Mapping[str, Any]:
        """Name and version, and whether it writes an append-only file."""
        facts = self.info("server")
        name = "valkey" if "valkey_version" in facts else "redis"
        persists = self.info("persistence").get("aof_enabled") == "1"
        return {"server": f"{name} {facts.get('valkey_version', facts['redis_version'])}", "aof": persists}


@contextmanager
def server(where: str) -> Iterator[Server]:
    """The server at this URL, or with `embedded` a private one for the time of the block."""
    with private_url() if where == EMBEDDED else nullcontext(where) as url:
        running = Server(url)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def private_url() -> Iterator[str]:
    """The address of an embedded server in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        with embedded.join(f"embedded://{name}") as own:
            yield own.url
        while keeper.is_locked(Path(name) / keeper.KEEPER_LOCK):
            time.sleep(0.02)  # it saves its data before it exits: only then can the directory be removed
