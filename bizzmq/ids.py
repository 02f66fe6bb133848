"""Ids of messages, supervisors and workers: unique without coordination, and never inherited."""

from __future__ import annotations

import os
import re
import secrets
import socket
from pathlib import Path

from bizzmq.errors import DecodeError

MESSAGE_ID_LENGTH = 20
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NONCE_LENGTH = 7
_TIME_DIGITS = 13
_MESSAGE_ID = re.compile(rb"[0-9a-f]{%d}[0-9A-Za-z]{%d}\Z" % (_TIME_DIGITS, MESSAGE_ID_LENGTH - _TIME_DIGITS))
_SET_BACK_US = 5_000_000
"""A clock that is behind the last id by more was set back; by less, it was read again a little less late."""


def nonce(length: int = _NONCE_LENGTH) -> str:
    """Random letters and digits; seven of them tell 3.5e12 publishers apart."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class MessageIds:
    """Makes the ids of one publisher: 13 hex digits of microseconds, then the publisher's nonce.

    Ids sort by time and increase within a publisher, unless Redis's clock is set back: then the ids go back, too, and
    have another nonce.
    """

    def __init__(self, publisher: str) -> None:
        self._suffix = publisher
        self._last_us = 0

    def take(self, now_us: int, count: int) -> list[str]:
        """The next `count` ids, the first one stamped `now_us` or a little later."""
        first = now_us if now_us > self._last_us else self._after_last(now_us)
        self._last_us = first + count - 1
        suffix = self._suffix
        return [f"{stamp:013x}{suffix}" for stamp in range(first, first + count)]

    def _after_last(self, now_us: int) -> int:
        if self._last_us - now_us < _SET_BACK_US:
            return self._last_us + 1
        self._suffix = nonce()  # these microseconds may have been used with the last one
        return now_us


match_message_id = _MESSAGE_ID.match
"""The same as `is_message_id`, without a call of Python's: a match, or None. For each message that is run."""


def is_message_id(raw: bytes) -> bool:
    """Whether this is an id as `MessageIds` makes them. Anything else in a queue is forged, and undecodable."""
    return _MESSAGE_ID.match(raw) is not None


def published_us(message_id: str) -> int:
    """When a message was published: microseconds since the epoch, by Redis's clock."""
    try:
        return int(message_id[:_TIME_DIGITS], 16)
    except ValueError as error:
        raise DecodeError(f"{message_id!r} is not a message id") from error


def host_name() -> str:
    """This host's name, reduced to what may stand in a key and a log line."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40] or "host"


def _boot_mark() -> str:
    """Eight characters that tell two boots and two clones of a host apart."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "noboot"


def supervisor_id() -> str:
    """A new id for a supervisor: host, boot, pid and a nonce, since pids and host names repeat."""
    return f"{host_name()}:{_boot_mark()}:{os.getpid()}:{nonce()}"


def worker_id(supervisor: str, slot: int) -> str:
    """A new id for the process in a slot; no two processes ever share one."""
    return f"{supervisor}/{slot}.{nonce(4)}"
