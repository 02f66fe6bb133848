"""The keeper of an embedded server: owns it as a child, and ends it when nobody uses it any more.

`bizzmq.embedded` runs this file as a script, in an interpreter that sees only the standard library
(`python -I -S embedded_keeper.py DIRECTORY SOCKET BINARY`), so that a start takes milliseconds. Its
promises rest on three file locks (flock), which the kernel gives back however a process dies:

    users.lock   shared by everybody who uses the server. Who gets it exclusively knows that nobody does.
    keeper.lock  exclusive, held while a keeper lives.
    server.lock  exclusive, taken before a server starts and inherited by it: as long as any server process
                 lives, no second one can run on the directory.
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

if "bizzmq" not in sys.modules:  # run as a script, which wants this one module and not the whole package
    _package = types.ModuleType("bizzmq")
    _package.__path__ = [str(Path(__file__).parent)]
    sys.modules["bizzmq"] = _package

from bizzmq import files

USERS_LOCK, KEEPER_LOCK, SERVER_LOCK = "users.lock", "keeper.lock", "server.lock"

TICK_S = 0.1
IDLE_S = 1.0
HANDOVER_S = 30.0
"""How long a predecessor's server may take to write everything down and leave."""
MAX_FAILED_STARTS = 3
HEALTHY_S = 5.0
PR_SET_PDEATHSIG = 1


def lock(path: Path, operation: int, timeout_s: float = 0.0, *, create: bool = True) -> int | None:
    """A descriptor that holds this flock, or None if others held it all the time.

    It polls instead of waiting in the kernel, where no timeout exists.

    Raises:
        OSError: the file cannot be opened, or is not this user's alone.
    """
    with files.open_directory(path.parent) as directory:
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
    """Give a lock back at once, even if a fork has copied its descriptor meanwhile."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds this flock exclusively."""
    descriptor = lock(path, fcntl.LOCK_SH)
    if descriptor is None:
        return True
    unlock(descriptor)
    return False


def ask(socket_path: Path, command: bytes, timeout_s: float = 1.0) -> bytes:
    """The first line that the server answers to one command; b"" if nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(socket_path))
            connection.sendall(command + b"\r\n")
            return connection.recv(512).partition(b"\r\n")[0]
        except OSError:
            return b""


def take_over(directory: Path, socket_path: Path) -> int | None:
    """The server lock. A server whose keeper was killed is asked to write everything down and leave."""
    deadline_s = time.monotonic() + HANDOVER_S
    while time.monotonic() < deadline_s:
        held = lock(directory / SERVER_LOCK, fcntl.LOCK_EX)
        if held is not None:
            return held
        ask(socket_path, b"SHUTDOWN", timeout_s=TICK_S)
        time.sleep(0.02)
    return None


class Keeper:
    """Runs one server on `directory` until nobody has held users.lock for a second, or until SIGTERM."""

    def __init__(self, directory: Path, socket_path: Path, binary: str, server_lock: int) -> None:
        self.directory = directory
        self.socket_path = socket_path
        self.binary = binary
        self.server_lock = server_lock
        self.stopping = False
        self._failed_starts = 0
        self._idle_since_s: float | None = None

    def run(self) -> int:
        """Keep the server; 0 when it was shut down on purpose, 1 when it cannot be kept running."""
        signal.signal(signal.SIGTERM, self._note_stop)
        server, started_s = self._start(), time.monotonic()
        while not self.stopping:
            time.sleep(TICK_S)
            if server.poll() is not None:
                healthy = time.monotonic() - started_s >= HEALTHY_S
                self._failed_starts = 0 if healthy else self._failed_starts + 1
                say(f"the server ended with status {server.returncode}")
                if self._failed_starts >= MAX_FAILED_STARTS:
                    return 1
                server, started_s = self._start(), time.monotonic()
            elif self._unused():
                say("nobody uses the server any more")
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
            say("the server did not leave and is killed")
            server.kill()
            server.wait()
        with suppress(OSError):
            self.socket_path.unlink()

    def _unused(self) -> bool:
        """Whether nobody has used the server for a second. If so, users.lock is held from here to our end.

        Whoever wants to use the server meanwhile waits for that lock, and then starts a new one.
        """
        try:
            held = lock(self.directory / USERS_LOCK, fcntl.LOCK_EX, create=False)
        except FileNotFoundError:
            return not self.directory.is_dir()  # somebody has deleted it
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


def say(sentence: str) -> None:
    """One line into the server's log, which is our standard error."""
    sys.stderr.write(f"{os.getpid()}:K {time.strftime('%d %b %Y %H:%M:%S')} {sentence}\n")
    sys.stderr.flush()


def main(directory: Path, socket_path: Path, binary: str) -> int:
    """Take the locks, then keep the server from a child, so that the caller has nothing to reap.

    When this returns 0 in the first process, keeper.lock is held and no earlier server lives any more.
    """
    os.umask(0o077)
    # Both may be inherited from whoever uses the server first, and both would lose the server's end.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if lock(directory / KEEPER_LOCK, fcntl.LOCK_EX, timeout_s=HANDOVER_S) is None:
        say("another keeper does not leave")
        return 1
    server_lock = take_over(directory, socket_path)
    if server_lock is None:
        say("another server on this directory does not leave")
        return 1
    if os.fork():
        return 0
    return Keeper(directory, socket_path, binary, server_lock).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
