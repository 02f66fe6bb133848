"""Users of an embedded server, each a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import psutil
import pytest

from bizzmq.embedded import paths
from bizzmq.embedded import server as embedded
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.wait import eventually

# A user of the server in a process of its own: it executes the Redis command of each line that it reads, and exits
# at the end of its input, so that it cannot outlive the tests.
USER = """
import signal, sys
import redis
from bizzmq.embedded import server as embedded
embedded.find_server = lambda: sys.argv[2]
if "hostile" in sys.argv:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
with embedded.join(sys.argv[1]) as server, redis.Redis.from_url(server.url, protocol=2) as client:
    print("joined", flush=True)
    for line in sys.stdin:
        if line.strip() == "ensure":
            server.ensure()
            print("ensured", flush=True)
        else:
            print(client.execute_command(*line.split()), flush=True)
"""


class User:
    """One process that has joined or will join."""

    def __init__(self, directory: Path, *how: str) -> None:
        command = [sys.executable, "-c", USER, f"embedded://{directory}", server_binary(), *how]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)

    def joined(self) -> User:
        assert self._answer() == "joined"
        return self

    def ask(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def server(self) -> psutil.Process:
        for line in self.ask("INFO server").split(","):
            name, _, value = line.partition(":")
            if name.strip(" {'") == "process_id":
                return psutil.Process(int(value))
        raise AssertionError("no process_id in the server's INFO")

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # unread data is still in its buffer
                pass

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory for one server; nothing runs on it afterwards."""
    directory = tmp_path / "server"
    yield directory
    end_everything_on(directory)


@pytest.fixture
def user(directory: Path) -> Iterator[Callable[..., User]]:
    """Start a user of the server in `directory`; killed afterwards."""
    users = []

    def start(*how: str) -> User:
        users.append(User(directory, *how))
        return users[-1]

    yield start
    for each in users:
        each.close()


def end_everything_on(directory: Path) -> None:
    """End all processes within the keeper's second of grace; leave none stopped or alive."""
    for process in processes_on(directory):
        try:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        except psutil.NoSuchProcess:
            pass
    eventually(lambda: not processes_on(directory), 30, f"the end of {processes_on(directory)}")


def processes_on(directory: Path) -> list[psutil.Process]:
    """The keepers and servers of a directory: keepers name it, servers name its socket."""
    title = f"unixsocket:{paths.socket_path(directory)}"
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if str(directory) in command or any(word.rstrip().endswith(title) for word in command):
            found.append(process)
    return found


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def log_of(directory: Path) -> str:
    return (directory / embedded.LOG).read_text()
