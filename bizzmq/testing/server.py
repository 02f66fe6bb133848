"""A real Redis or Valkey server that a test owns and can kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Mapping, Sequence

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from bizzmq.testing.binaries import server_binary
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually

# redis-py 6 with hiredis on Python before 3.10 reports a timeout as a ConnectionError.
NO_ANSWER = (RedisTimeoutError, RedisConnectionError)

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_PORT_ATTEMPTS = 5
_SHORT = "/tmp"  # noqa: S108 - mkdtemp makes the directory in it ours alone
_LONGEST_PARENT = 70
"""Characters; a socket's whole path has 103 on macOS, 107 on Linux."""


class RedisServer:
    """A server on a TCP port of 127.0.0.1 and a Unix socket, with its own directory.

    Parameters: `persistence` is "none" or "aof" (then `fsync` is "always" or "everysec"; with "everysec" a kill can
    lose what the server has confirmed); `config` holds
    further lines of the configuration file, such as "maxmemory 4mb"; `password` protects the default user
    and becomes part of both URLs; `env` is added to the environment.

    Port and directory stay the same until `close`: for clients a restarted server is the same server.
    """

    def __init__(
        self,
        persistence: str = "none",
        fsync: str = "always",
        config: Sequence[str] = (),
        password: str | None = None,
        binary: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        if persistence not in ("none", "aof"):
            raise ValueError(f"persistence must be none or aof, not {persistence!r}")
        self._binary = binary or server_binary()
        self._lines = [
            'save ""',
            f"appendonly {'yes' if persistence == 'aof' else 'no'}",
            f"appendfsync {fsync}",
            *([f'requirepass "{password}"'] if password else []),
            *config,
        ]
        self._password = password
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Redis] = []
        self.host = LOOPBACK
        self.port = 0
        self.directory = _short_directory()
        try:
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise

    @property
    def binary(self) -> str:
        return self._binary

    @property
    def url(self) -> str:
        return f"redis://{self._userinfo}{self.host}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self._userinfo}{self.directory / 'redis.sock'}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, **options: Any) -> Redis:
        """A client with a 5 s timeout, RESP2, no retries, and str replies (undecodable bytes as surrogates).

        `options` override any argument of redis.Redis. The client is closed with the server.
        """
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "password": self._password,
            "protocol": 2,
            "socket_timeout": 5.0,
            "socket_connect_timeout": 5.0,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "encoding_errors": "surrogateescape",
        }
        client = Redis(**{**arguments, **options})
        self._clients.append(client)
        return client

    def start(self, wait: bool = True) -> None:
        """Start the server; return when it answers PING, or at once if not `wait` (to see it LOADING)."""
        assert not self.alive, "the server runs already"
        (self.directory / "server.conf").write_text("\n".join([*self._own_lines(), *self._lines, ""]))
        with (self.directory / "server.log").open("ab") as output:
            command = [self._binary, str(self.directory / "server.conf")]
            self._process = spawn(command, output, cwd=self.directory, env=self._env)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the server answers PING and has loaded its data; fail at once if it has exited."""
        with self.client(socket_timeout=1.0) as client:
            eventually(
                lambda: not self.alive or client.ping(),
                _START_TIMEOUT_S,
                lambda: f"the server to answer PING:\n{self.log()}",
                ignoring=(RedisError,),
            )
        self._clients.remove(client)
        if not self.alive:
            raise RuntimeError(f"{self._binary} did not start:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL the server, also a paused one; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Shut the server down with SIGTERM; returns when it is gone."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server ignored SIGTERM:\n{self.log()}") from None

    def restart(self, wait: bool = True) -> None:
        """Start again on the same port and directory. A server that still runs is shut down first."""
        if self.alive:
            self.stop()
        self.start(wait)

    def pause(self) -> None:
        """SIGSTOP the server: connections stay open and get no replies."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT the server: it executes what was sent meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The server's output so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Kill the server, close its clients, remove its directory. May be called twice."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _userinfo(self) -> str:
        return f":{self._password}@" if self._password else ""

    def _own_lines(self) -> list[str]:
        return [
            f"bind {self.host}",
            f"port {self.port}",
            f"unixsocket {self.directory / 'redis.sock'}",
            f"dir {self.directory}",
            "daemonize no",
        ]

    def _start_on_a_free_port(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self.start()
                break
            except RuntimeError as error:
                # Another process took the port between the probe and the server's bind.
                if attempt == _PORT_ATTEMPTS or "in use" not in str(error):
                    raise


def _short_directory() -> Path:
    """A new directory for a server. TMPDIR may be too long: the path of a Unix socket has a limit."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="bizzmq-test-", dir=usual if len(usual) < _LONGEST_PARENT else _SHORT))
