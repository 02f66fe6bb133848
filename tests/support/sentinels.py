"""A master, a replica and three sentinels that watch them: real servers that a test owns and can kill."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Sequence

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from bizzmq.testing.binaries import server_binary
from bizzmq.testing.layout import command
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually

SERVICE = "mymaster"
DOWN_AFTER_MS = 500
_START_TIMEOUT_S = 30.0
_TRIES = 5
_REPLICATES_QUICKLY = ("repl-diskless-sync-delay 0", "repl-ping-replica-period 1")


def debian_server() -> str:
    """Debian's redis-server if it is installed, else the server of the other tests."""
    return shutil.which("redis-server") or server_binary()


def start_server(config: Callable[[], Sequence[str]], password: str | None) -> RedisServer:
    """Start a server and make sure that it is the one that answers; `config` is called for each attempt.

    Many servers start at once here. Another process may take the port between the probe and the bind: then it answers
    the first PING, while our server is about to exit.
    """
    for _ in range(_TRIES):
        try:
            server = RedisServer(config=config(), password=password, binary=debian_server())
        except RuntimeError as error:
            if "in use" not in str(error):
                raise
            continue
        with contextlib.suppress(RedisError), server.client() as client:
            if command(client, "INFO", "server")["process_id"] == server.pid:
                return server
        server.close()
    raise RuntimeError("no server has got a port of its own")


class Sentinel:
    """One sentinel with a directory of its own for its configuration."""

    def __init__(self, lines: Sequence[str], password: str | None) -> None:
        self.port = free_port()
        self._password = password
        self._directory = Path(tempfile.mkdtemp(prefix="bizzmq-test-"))
        config = self._directory / "sentinel.conf"
        own = [f"bind {LOOPBACK}", f"port {self.port}", f"dir {self._directory}", "daemonize no"]
        secret = [f'requirepass "{password}"', f'sentinel sentinel-pass "{password}"'] if password else []
        config.write_text("\n".join([*own, *secret, *lines, ""]))
        with (self._directory / "sentinel.log").open("ab") as output:
            server = [debian_server(), str(config), "--sentinel"]
            self._process: subprocess.Popen[bytes] = spawn(server, output, cwd=self._directory)

    def ask(self, *words: str) -> Any:
        """The reply to one command."""
        options: dict[str, Any] = {"protocol": 2, "socket_timeout": 1.0, "socket_connect_timeout": 1.0}
        options["retry"] = Retry(NoBackoff(), 0)
        with Redis(LOOPBACK, self.port, password=self._password, decode_responses=True, **options) as client:
            return command(client, *words)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        return (self._directory / "sentinel.log").read_text(errors="replace")

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class SentinelGroup:
    """Two servers, the first of which is the master at the start, and their sentinels.

    Parameters: `password` protects the servers, `sentinel_password` the sentinels; both become part of the URL.
    """

    def __init__(self, password: str | None = None, sentinel_password: str | None = None) -> None:
        self._stack = ExitStack()
        self._password, self._sentinel_password = password, sentinel_password
        self.servers: list[RedisServer] = []
        self.sentinels: list[Sentinel] = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        own = f":{self._password}@" if self._password else ""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        option = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        return f"redis+sentinel://{own}{hosts}/{SERVICE}/0{option}"

    def master(self) -> RedisServer:
        """The master, according to the first sentinel that answers."""
        for sentinel in self.sentinels:
            try:
                port = int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
            except RedisError:
                continue
            return next(server for server in self.servers if server.port == port)
        raise AssertionError("no sentinel answers")

    def replica(self) -> RedisServer:
        """The other server."""
        master = self.master()
        return next(server for server in self.servers if server is not master)

    def look(self) -> Look:
        """A client of the current master."""
        return Look(self)

    def wait_failed_over(self, old: RedisServer, timeout_s: float = _START_TIMEOUT_S) -> RedisServer:
        """Return the new master once the sentinels name it and it is one."""

        def promoted() -> RedisServer | None:
            new = self.master()
            return new if new is not old and role(new) == "master" else None

        return eventually(promoted, timeout_s, self._logs, ignoring=(RedisError, AssertionError))  # type: ignore[return-value]

    def wait_replicates(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Return when the master has a replica that has caught up, and the sentinels could fail over to it."""

        def replicates() -> bool:
            master, replica = self.master(), self.replica()
            online = replication(master).get("slave0", {}).get("state") == "online"
            return role(replica) == "slave" and online and all(map(_has_quorum, self.sentinels))

        eventually(replicates, timeout_s, self._logs, ignoring=(RedisError, AssertionError))

    def close(self) -> None:
        """Kill everything and remove its files. May be called twice."""
        self._stack.close()

    def _start(self) -> None:
        secret = [f'masterauth "{self._password}"'] if self._password else []
        for number in range(2):
            following = [f"replicaof {LOOPBACK} {self.servers[0].port}"] if number else []
            config = [*_REPLICATES_QUICKLY, *secret, *following]
            server = start_server(lambda: config, self._password)  # noqa: B023 - asked now
            self._stack.callback(server.close)
            self.servers.append(server)
        lines = [
            f"sentinel monitor {SERVICE} {LOOPBACK} {self.servers[0].port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *([f'sentinel auth-pass {SERVICE} "{self._password}"'] if self._password else []),
        ]
        for _ in range(3):
            sentinel = Sentinel(lines, self._sentinel_password)
            self._stack.callback(sentinel.close)
            self.sentinels.append(sentinel)
        self.wait_replicates()

    def _logs(self) -> str:
        return "the sentinels to agree:\n" + "\n".join(sentinel.log()[-2000:] for sentinel in self.sentinels)


class Look:
    """Acts as a Redis client: each command goes to the current master."""

    def __init__(self, sentinel_group: SentinelGroup) -> None:
        self._watched = sentinel_group

    def execute_command(self, *words: Any) -> Any:
        with self._watched.master().client() as client:
            execute: Any = client.execute_command
            return execute(*words)


def replication(server: RedisServer) -> dict[str, Any]:
    """The replication section of a server's INFO."""
    with server.client(socket_timeout=2.0) as client:
        info: dict[str, Any] = command(client, "INFO", "replication")
    return info


def role(server: RedisServer) -> str:
    """`master` or `slave`, according to the server itself."""
    return str(replication(server)["role"])


def _has_quorum(sentinel: Sentinel) -> bool:
    knows_both = len(sentinel.ask("SENTINEL", "SENTINELS", SERVICE)) == 2
    knows_replica = len(sentinel.ask("SENTINEL", "SLAVES", SERVICE)) == 1
    return knows_both and knows_replica and bool(sentinel.ask("SENTINEL", "CKQUORUM", SERVICE))
