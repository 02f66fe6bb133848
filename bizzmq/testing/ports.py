"""TCP ports for servers that go away and come back."""

from __future__ import annotations

import os
import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take the ports of outgoing connections: a client that keeps
# calling a dead server in that range eventually connects to itself and blocks the port for a restart.
FIRST_PORT, LAST_PORT = 20_000, 31_999

# A server may listen a tenth of a second after its port was probed, and a server that is down does not hold its port.
# So each process takes ports from a share of its own, chosen by its pid.
_SHARE = 100
_SHARES = (LAST_PORT + 1 - FIRST_PORT) // _SHARE

# Not the random module's own generator: tests may seed that, and two test processes would get the same ports.
_turn = random.SystemRandom().randrange(_SHARE)


def free_port() -> int:
    """A free port on 127.0.0.1. The process gets the same port again only after a hundred others."""
    global _turn  # noqa: PLW0603 - goes round
    first = FIRST_PORT + os.getpid() % _SHARES * _SHARE
    for _ in range(_SHARE):
        _turn = (_turn + 1) % _SHARE
        port = first + _turn
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {first} and {first + _SHARE - 1}")
