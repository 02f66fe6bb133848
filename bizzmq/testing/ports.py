"""TCP ports for servers that go away and come back."""

from __future__ import annotations

import os
import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux and macOS take the ports of outgoing connections: a client that keeps
# calling a dead server in that range eventually connects to itself and blocks the port for a restart.
# A node of a Redis Cluster also listens 10,000 above its own port, unless it is configured otherwise.
FIRST_PORT, LAST_PORT = 20_000, 29_999

# A server may listen a tenth of a second after its port was probed, and a server that is down does not hold its port.
# So each process takes ports from a share that no other process has. It holds the share by its first port.
_SHARE = 100

_holder = 0  # the process that holds the share: a forked child takes one of its own
_first = _turn = 0


def free_port() -> int:
    """A free port on 127.0.0.1. The process gets the same port again only after about a hundred others.

    Raises RuntimeError if all are taken.
    """
    global _turn  # noqa: PLW0603 - goes round
    if _holder != os.getpid():
        _take_share()
    for _ in range(1, _SHARE):
        _turn = _turn % (_SHARE - 1) + 1
        port = _first + _turn
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if _is_bound(probe, port):
                return port
    raise RuntimeError(f"no free port between {_first + 1} and {_first + _SHARE - 1}")


def _take_share() -> None:
    """Hold a share until this process ends."""
    global _holder, _first, _turn
    # Not the random module's own generator: tests may seed that.
    chance = random.SystemRandom()
    shares = list(range(FIRST_PORT, LAST_PORT + 1, _SHARE))
    chance.shuffle(shares)
    for first in shares:
        with socket.socket() as lock:
            if _is_bound(lock, first):
                lock.detach()  # stays open
                _holder, _first, _turn = os.getpid(), first, chance.randrange(_SHARE)
                return
    raise RuntimeError(f"{len(shares)} processes have taken all ports between {FIRST_PORT} and {LAST_PORT}")


def _is_bound(bound: socket.socket, port: int) -> bool:
    """Bind a socket to this port. False if the port is taken."""
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
