"""Reports the state of the pool to systemd by the protocol of sd_notify(3): small datagrams to NOTIFY_SOCKET."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import MutableMapping

from bizzmq.utils import clock
from bizzmq.utils.logs import escape, log

_logger = logging.getLogger("bizzmq.supervisor")


@dataclass(frozen=True)
class ServiceState:
    """The state of the pool, as far as systemd needs it.

    Attributes:
        ready: at least one worker runs messages.
        reloads: the number of reloads that have begun so far.
        reloading, stopping: whether a reload or the shutdown is in progress.
        text: one line for `systemctl status`.
    """

    ready: bool
    reloads: int
    reloading: bool
    stopping: bool
    text: str


class Notifier:
    """Reports changes to the service manager; does nothing without one.

    Removes its variables from the environment, so that processes that handlers start cannot report for the pool. Never
    waits: what a full socket refuses is sent later.
    """

    def __init__(
        self, environment: MutableMapping[str, str] = os.environ, now_s: clock.Monotonic = clock.monotonic
    ) -> None:
        self._now_s = now_s
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        watched = microseconds.isdigit() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        self._period_s = int(microseconds) / 2e6 if watched and self._address else 0.0
        self._next_s = 0.0 if self._period_s else float("inf")
        self._socket: socket.socket | None = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self._pending: deque[str] = deque()
        self._ready = self._reloading = self._stopping = False
        self._reloads = 0
        self._text = ""

    def descriptors(self) -> list[int]:
        """The open descriptors, which a forked child has to close."""
        return [] if self._socket is None else [self._socket.fileno()]

    def next_due_s(self) -> float:
        """When the watchdog expects the next message, in monotonic seconds."""
        return self._next_s

    def tick(self, state: ServiceState) -> None:
        """Report what has changed. Call it from the supervisor's loop: the watchdog's message proves that it runs."""
        if self._socket is None:
            return
        self._report(state)
        if state.text != self._text:
            self._text = state.text
            self._replace("STATUS=", escape(state.text))
        now_s = self._now_s()
        if now_s >= self._next_s:
            self._next_s = now_s + self._period_s
            self._replace("WATCHDOG=", "1")
        self._send()

    def _replace(self, name: str, value: str) -> None:
        """Queue a line in place of an older one of that name that could not be sent yet."""
        self._pending = deque(line for line in self._pending if not line.startswith(name))
        self._pending.append(name + value)

    def _report(self, state: ServiceState) -> None:
        if state.stopping:
            if not self._stopping:
                self._stopping = True
                self._pending.append("STOPPING=1")
            return
        if not self._ready:
            self._reloads = state.reloads  # a reload before the pool is ready is part of its start
            if state.ready:
                self._ready = True
                self._pending.append("READY=1")
            return
        if state.reloads != self._reloads:
            self._reloads = state.reloads
            if not self._reloading:
                self._reloading = True
                self._pending.append(f"RELOADING=1\nMONOTONIC_USEC={int(self._now_s() * 1e6)}")
        if self._reloading and not state.reloading:
            self._reloading = False
            self._pending.append("READY=1")

    def _send(self) -> None:
        while self._pending and self._socket is not None:
            try:
                self._socket.sendto(self._pending[0].encode("utf-8"), self._address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                pass  # the receiver is gone; that must not stop the pool
            self._pending.popleft()

    def close(self) -> None:
        """Report that the pool ends, unless that was reported already."""
        if self._socket is not None:
            self._report(ServiceState(ready=False, reloads=0, reloading=False, stopping=True, text=""))
            self._send()
            self._socket.close()
            self._socket = None


def _address(given: str) -> str:
    """The address of NOTIFY_SOCKET: a path, or an abstract address (@) with its NUL; "" if it is unusable."""
    if given.startswith("/"):
        return given
    if given.startswith("@"):
        return "\0" + given[1:]
    if given:
        log(_logger, logging.WARNING, "the service manager's address is of a kind that is not supported", address=given)
    return ""
