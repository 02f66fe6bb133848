"""The private server of a comparison, emptied for every arm, and its figures."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

import click
from redis import Redis

from bizzmq.testing.server import RedisServer

OWN_COMMANDS = ("info", "config|resetstat", "flushall", "xpending", "xinfo", "llen", "hlen", "zcard", "xlen")
"""Commands of the bench itself; it sends no others between two snapshots."""

_PATIENCE_S = 120.0
_FSYNC_S = 1.05


@dataclass(frozen=True)
class Snapshot:
    """The counters of the server. `calls` includes the commands inside scripts."""

    calls: Mapping[str, int]
    cpu_s: float
    bytes_in: int
    bytes_out: int

    def since(self, before: Snapshot) -> dict[str, Any]:
        """The difference from an earlier snapshot."""
        calls = {name: count - before.calls.get(name, 0) for name, count in self.calls.items()}
        return {
            "calls": {name: count for name, count in calls.items() if count > 0 and name != "info"},
            "cpu_s": self.cpu_s - before.cpu_s,
            "bytes": self.bytes_in - before.bytes_in + self.bytes_out - before.bytes_out,
        }


class Lab:
    """The server and one connection to it."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.url = server.url
        self.redis: Any = Redis.from_url(server.url)

    def empty(self) -> None:
        """Empty the server, including its scripts."""
        self.redis.flushall()
        self.redis.script_flush()

    def wait_written(self) -> None:
        """Wait until the server has written all data to disk: it is not rewriting its file and has no pending flush.

        It waits one second first, so that the flush of everything has started: the disk is not part of the measurement.
        """
        time.sleep(_FSYNC_S)
        give_up_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up_s:
            facts = self.redis.info("persistence")
            busy = (
                "aof_rewrite_in_progress",
                "aof_rewrite_scheduled",
                "aof_pending_bio_fsync",
                "rdb_bgsave_in_progress",
            )
            if not any(int(facts.get(name, 0)) for name in busy):
                return
            time.sleep(0.05)
        raise click.ClickException("the server's disk does not keep up")

    def snapshot(self) -> Snapshot:
        stats, cpu = self.redis.info("commandstats"), self.redis.info("cpu")
        net = self.redis.info("stats")
        return Snapshot(
            {name[len("cmdstat_") :].lower(): int(of["calls"]) for name, of in stats.items()},
            float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]),
            int(net["total_net_input_bytes"]),
            int(net["total_net_output_bytes"]),
        )

    def left(self, commands: Sequence[Sequence[str]]) -> int:
        """The sum of the replies; for a list or a mapping the first value counts."""
        return sum(self._number(command) for command in commands)

    def _number(self, command: Sequence[str]) -> int:
        try:
            reply = self.redis.execute_command(*command)
        except Exception as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            return 0
        if isinstance(reply, dict):
            reply = reply.get("pending", 0)
        return int(reply[0] if isinstance(reply, list) else reply)

    def about(self) -> dict[str, Any]:
        facts = self.redis.info("server")
        name = "valkey" if "valkey_version" in facts else "redis"
        return {"server": f"{name} {facts.get('valkey_version', facts['redis_version'])}", "aof": True}


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """A private server with an append-only file that is flushed every second, like embedded://."""
    with contextlib.closing(RedisServer(persistence="aof", fsync="everysec")) as server:
        yield Lab(server)
