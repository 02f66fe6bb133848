"""What systemd is told about the pool, by the protocol of sd_notify(3): small datagrams to NOTIFY_SOCKET."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from dataclasses import dataclass
from typing import MutableMapping

from bizzmq import clock
from bizzmq.logs import escape, log

_logger = logging.getLogger("bizzmq.supervisor")


@dataclass(frozen=True)
class Facts:
    """What it depends on.

    Attributes:
        ready: a worker works.
        reloads: how many have begun so far.
        reloading, stopping: what goes on now.
        text: one line for `systemctl status`.
    """

    ready: bool
    reloads: int
    reloading: bool
    stopping: bool
    text: str


class Notifier:
    """Tells the service manager what has changed; does nothing if there is none.

    Takes its variables out of the environment, so that what handlers start does not speak for the pool.
    Nothing is ever waited for: what a full socket refuses is sent later.
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
        self._owed: deque[str] = deque()
        self._ready = self._reloading = self._stopping = False
        self._reloads = 0
        self._text = ""

    def descriptors(self) -> list[int]:
        """What it holds open, for a forked child to close."""
        return [] if self._socket is None else [self._socket.fileno()]

    def next_due_s(self) -> float:
        """When the watchdog has to be fed. Monotonic seconds."""
        return self._next_s

    def tick(self, facts: Facts) -> None:
        """Tell what has changed. To be called from the loop itself: it is what the watchdog's food vouches for."""
        if self._socket is None:
            return
        self._tell_state(facts)
        if facts.text != self._text:
            self._text = facts.text
            self._owe("STATUS=", escape(facts.text))
        now_s = self._now_s()
        if now_s >= self._next_s:
            self._next_s = now_s + self._period_s
            self._owe("WATCHDOG=", "1")
        self._send()

    def _owe(self, name: str, value: str) -> None:
        """In place of an older one that could not be sent yet."""
        self._owed = deque(line for line in self._owed if not line.startswith(name))
        self._owed.append(name + value)

    def _tell_state(self, facts: Facts) -> None:
        if facts.stopping:
            if not self._stopping:
                self._stopping = True
                self._owed.append("STOPPING=1")
            return
        if not self._ready:
            self._reloads = facts.reloads  # one that came so early is part of the start
            if facts.ready:
                self._ready = True
                self._owed.append("READY=1")
            return
        if facts.reloads != self._reloads:
            self._reloads = facts.reloads
            if not self._reloading:
                self._reloading = True
                self._owed.append(f"RELOADING=1\nMONOTONIC_USEC={int(self._now_s() * 1e6)}")
        if self._reloading and not facts.reloading:
            self._reloading = False
            self._owed.append("READY=1")

    def _send(self) -> None:
        while self._owed and self._socket is not None:
            try:
                self._socket.sendto(self._owed[0].encode("utf-8"), self._address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                pass  # whoever listened is gone; this must not stop the pool
            self._owed.popleft()

    def close(self) -> None:
        """Say that the pool ends, if that is still unsaid."""
        if self._socket is not None:
            self._tell_state(Facts(ready=False, reloads=0, reloading=False, stopping=True, text=""))
            self._send()
            self._socket.close()
            self._socket = None


def _address(given: str) -> str:
    """A path as it is, an abstract address (@) with its NUL; "" if there is none that can be used."""
    if given.startswith("/"):
        return given
    if given.startswith("@"):
        return "\0" + given[1:]
    if given:
        log(_logger, logging.WARNING, "the service manager's address is of a kind that is not supported", address=given)
    return ""
