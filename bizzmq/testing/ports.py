"""TCP ports for servers that go away and come back."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take the ports of outgoing connections: a client that keeps
# calling a dead server in that range sooner or later connects to itself and holds the port against a restart.
FIRST_PORT, LAST_PORT = 20_000, 32_000

# Not the random module's own generator: tests may seed that, and two test processes would get the same ports.
_RANDOM = random.SystemRandom()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    for _ in range(200):
        port = _RANDOM.randint(FIRST_PORT, LAST_PORT)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {FIRST_PORT} and {LAST_PORT}")
