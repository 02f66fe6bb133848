"""TCP keepalive: how the kernel notices that the other end of a connection is gone without a message.

A router or load balancer that forgets a connection tells neither end. So the kernel probes the other end after a while
of silence, which also keeps the connection in the router's memory. Sent data must be acknowledged in less time than a
reply may take, which tells a lost connection from a slow server. The kernel's defaults are two hours and a quarter of
an hour.
"""

from __future__ import annotations

import socket
from typing import Any

IDLE_S, INTERVAL_S, PROBES = 45, 5, 3
"""The silence before the first probe, the time between two probes, and their number: the limit is a minute."""
ACKNOWLEDGED_BY = 0.8
"""The part of a reply's time limit in which sent data must be acknowledged. The server's kernel acknowledges it, even
if the server is busy."""

_NAMES = (
    ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", IDLE_S),  # the latter is macOS's name
    ("TCP_KEEPINTVL", INTERVAL_S),
    ("TCP_KEEPCNT", PROBES),
)


def keep_alive(connected: Any, timeout_s: float | None) -> None:
    """Set these options on a TCP socket, as far as the kernel has them. Other sockets are left alone.

    Args:
        timeout_s: how long a reply may take, seconds; None without a limit.
    """
    if getattr(connected, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return
    _set(connected, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _NAMES:
        _set(connected, socket.IPPROTO_TCP, getattr(socket, name, None), value)
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
