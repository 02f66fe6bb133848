"""TCP ports for servers that go away and come back."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take the ports of outgoing connections: a client that keeps
# calling a dead server in that range sooner or later connects to itself and holds the port against a restart.
FIRST_PORT, LAST_PORT = 20_000, 32_000

# Not the random module's own generator: tests may seed that, and two test processes would get the same ports.
_RANDOM = random.SystemRandom()
_TRIES = 200


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now, and that no other process gets from here while this one lives.

    Between this look and the moment at which a server listens there can be a tenth of a second, and a server that is
    down for a while holds its port by nothing else.
    """
    for _ in range(_TRIES):
        port = _RANDOM.randint(FIRST_PORT, LAST_PORT)
        if _CLAIMS.claim(port) and _is_free(port):
            return port
    raise RuntimeError(f"no free port between {FIRST_PORT} and {LAST_PORT}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class _Claims:
    """The ports that this process has got: a lock on one byte each of a file that all processes of a user share.

    The kernel lets go of them when the process ends, however it does.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._descriptor = -1
        self._ports: set[int] = set()

    def claim(self, port: int) -> bool:
        """Whether it was still to be had, and is ours now."""
        if self._pid != os.getpid():
            self._open()
        if port in self._ports:
            return False
        try:
            if self._descriptor >= 0:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):
            return False
        self._ports.add(port)
        return True

    def _open(self) -> None:
        """Open the file anew: a forked child has no locks, and its descriptor is not to be closed by mistake."""
        path = Path(tempfile.gettempdir()) / f"bizzmq-ports-{os.geteuid()}"
        try:
            self._descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            self._descriptor = -1  # somebody else's file stands there: a look has to do
        self._pid = os.getpid()
        self._ports.clear()


_CLAIMS = _Claims()
