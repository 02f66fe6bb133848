"""How the kernel finds out that the other end of a TCP connection is gone, when nobody says so.

A router or balancer that forgets a connection tells neither end. So the kernel asks the other end after a while of
silence, which also keeps the connection in the memory of what lies between; and what was sent must be acknowledged in
less time than a reply may take, which tells a lost connection from a slow server. Kernels wait two hours, and a
quarter of an hour, if nobody tells them.
"""

from __future__ import annotations

import socket
from typing import Any

IDLE_S, INTERVAL_S, PROBES = 45, 5, 3
"""After so much silence the other end is asked, so often; it is given up after a minute."""
ACKNOWLEDGED_BY = 0.8
"""The part of a reply's time in which what was sent must be acknowledged. The server's kernel does that, however busy
the server is."""

_NAMES = (
    ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", IDLE_S),  # the latter is macOS's word
    ("TCP_KEEPINTVL", INTERVAL_S),
    ("TCP_KEEPCNT", PROBES),
)


def keep_alive(connected: Any) -> None:
    """Set all of this on a connected socket, as far as its kernel has it; anything but TCP is left alone."""
    if getattr(connected, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return
    _set(connected, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _NAMES:
        _set(connected, socket.IPPROTO_TCP, getattr(socket, name, None), value)
    timeout_s = connected.gettimeout()
    if timeout_s:
        limit_ms = max(1, int(timeout_s * ACKNOWLEDGED_BY * 1000))
        _set(connected, socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None), limit_ms)


def _set(connected: Any, level: int, option: int | None, value: int) -> None:
    if option is None:
        return
    try:
        connected.setsockopt(level, option, value)
    except OSError:
        return  # not on this system
