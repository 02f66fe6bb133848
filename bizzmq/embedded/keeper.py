"""The keeper of an embedded server: the parent process of the server, which ends it when it is no longer used.

`bizzmq.embedded.server` runs this file as a script, in an interpreter that sees only the standard library
(`python -I -S keeper.py DIRECTORY SOCKET BINARY`), so that it starts in milliseconds. It relies on three file locks
(flock), which the kernel releases however a process dies:

    users.lock   shared by all processes that use the server. A process that gets it exclusively knows that no other
                 process uses the server.
    keeper.lock  exclusive, held while a keeper lives.
    server.lock  exclusive, taken before a server starts and inherited by it: while any server process lives, no
                 second server can run on the directory.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import types
from contextlib import suppress
from pathlib import Path

if "bizzmq" not in sys.modules:  # as a script: without importing the whole package
    _package = types.ModuleType("bizzmq")
    _package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["bizzmq"] = _package

from bizzmq.utils import private_files

USERS_LOCK, KEEPER_LOCK, SERVER_LOCK = "users.lock", "keeper.lock", "server.lock"

TICK_S = 0.1
IDLE_S = 1.0
HANDOVER_S = 30.0
"""How long the server of an earlier keeper may take to save its data and end, seconds."""
MAX_FAILED_STARTS = 3
HEALTHY_S = 5.0
PR_SET_PDEATHSIG = 1


def lock(path: Path, operation: int, timeout_s: float = 0.0, *, create: bool = True) -> int | None:
    """A descriptor that holds this flock; None if other processes held it until the timeout.

    It polls, because waiting in the kernel has no timeout.

    Raises:
        OSError: the file cannot be opened, or is not private to this user.
    """
    with private_files.open_directory(path.parent) as directory:
        descriptor = directory.open(path.name, os.O_RDWR | (os.O_CREAT if create else 0))
    deadline_s = time.monotonic() + timeout_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    os.close(descriptor)
                    return None
                time.sleep(0.005)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def unlock(descriptor: int) -> None:
    """Release a lock immediately, even if a fork has copied its descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds this flock exclusively."""
    descriptor = lock(path, fcntl.LOCK_SH)
    if descriptor is None:
        return True
    unlock(descriptor)
    return False


def request(socket_path: Path, command: bytes, timeout_s: float = 1.0) -> bytes:
    """The first line of the server's reply to a command; b"" if there is no reply."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(socket_path))
            connection.sendall(command + b"\r\n")
            return connection.recv(512).partition(b"\r\n")[0]
        except OSError:
            return b""


def take_over(directory: Path, socket_path: Path) -> int | None:
    """Take the server lock; None if that fails. A server whose keeper was killed gets SHUTDOWN, and saves its data."""
    deadline_s = time.monotonic() + HANDOVER_S
    while time.monotonic() < deadline_s:
        held = lock(directory / SERVER_LOCK, fcntl.LOCK_EX)
        if held is not None:
            return held
        request(socket_path, b"SHUTDOWN", timeout_s=TICK_S)
        time.sleep(0.02)
    return None


class Keeper:
    """Runs a server in `directory` until no process has held users.lock for a second, or until SIGTERM."""

    def __init__(self, directory: Path, socket_path: Path, binary: str, server_lock: int) -> None:
        self.directory = directory
        self.socket_path = socket_path
        self.binary = binary
        self.server_lock = server_lock
        self.stopping = False
        self._failed_starts = 0
        self._idle_since_s: float | None = None

    def run(self) -> int:
        """Keep the server running; 0 after a deliberate shutdown, 1 if the server keeps failing."""
        signal.signal(signal.SIGTERM, self._note_stop)
        server, started_s = self._start(), time.monotonic()
        while not self.stopping:
            time.sleep(TICK_S)
            if server.poll() is not None:
                healthy = time.monotonic() - started_s >= HEALTHY_S
                self._failed_starts = 0 if healthy else self._failed_starts + 1
                log(f"the server ended with status {server.returncode}")
                if self._failed_starts >= MAX_FAILED_STARTS:
                    return 1
                server, started_s = self._start(), time.monotonic()
            elif self._is_unused():
                log("nobody uses the server any more")
                break
        self._end(server)
        return 0

    def _note_stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self) -> subprocess.Popen[bytes]:
        keeper = os.getpid()
        libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None

        def die_with_the_keeper() -> None:
            if libc is not None:
                libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
            if os.getppid() != keeper:
                os._exit(1)

        return subprocess.Popen(
            [
                self.binary,
                *("--port", "0"),
                *("--unixsocket", str(self.socket_path)),
                *("--unixsocketperm", "600"),
                *("--dir", str(self.directory)),
                *("--appendonly", "yes"),
                *("--appendfsync", "everysec"),
                *("--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=[self.server_lock],
            preexec_fn=die_with_the_keeper,  # noqa: PLW1509 - the keeper has one thread
        )

    def _end(self, server: subprocess.Popen[bytes]) -> None:
        server.terminate()
        try:
            server.wait(HANDOVER_S)
        except subprocess.TimeoutExpired:
            log("the server did not leave and is killed")
            server.kill()
            server.wait()
        with suppress(OSError):
            self.socket_path.unlink()

    def _is_unused(self) -> bool:
        """Whether no process has used the server for a second. If so, this process keeps users.lock until its end.

        A process that wants to use the server then waits for that lock, and starts a new server.
        """
        try:
            held = lock(self.directory / USERS_LOCK, fcntl.LOCK_EX, create=False)
        except FileNotFoundError:
            return not self.directory.is_dir()  # deleted by another process
        if held is None:
            self._idle_since_s = None
            return False
        now_s = time.monotonic()
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        if now_s - self._idle_since_s >= IDLE_S:
            return True
        unlock(held)
        return False


def log(sentence: str) -> None:
    """Write a line to the server's log, which is this process's standard error."""
    sys.stderr.write(f"{os.getpid()}:K {time.strftime('%d %b %Y %H:%M:%S')} {sentence}\n")
    sys.stderr.flush()


def main(directory: Path, socket_path: Path, binary: str) -> int:
    """Take the locks, then keep the server from a child process, so that the caller has nothing to reap.

    When this returns 0 in the first process, keeper.lock is held and no earlier server is running.
    """
    os.umask(0o077)
    # Both may be inherited from the process that starts the server, and both would hide the server's end.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if lock(directory / KEEPER_LOCK, fcntl.LOCK_EX, timeout_s=HANDOVER_S) is None:
        log("another keeper does not leave")
        return 1
    server_lock = take_over(directory, socket_path)
    if server_lock is None:
        log("another server on this directory does not leave")
        return 1
    if os.fork():
        return 0
    return Keeper(directory, socket_path, binary, server_lock).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
