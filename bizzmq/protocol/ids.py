"""Ids of messages, supervisors and workers. They are unique without coordination, and forks do not share them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from pathlib import Path

from bizzmq.errors import DecodeError

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NONCE_LENGTH = 7
_TIME_DIGITS = 13
_MESSAGE_ID = re.compile(rb"[0-9a-f]{%d}[0-9A-Za-z]{%d}" % (_TIME_DIGITS, _NONCE_LENGTH))
_TIME = re.compile(rf"[0-9a-f]{{{_TIME_DIGITS}}}")
_SET_BACK_US = 5_000_000
"""A clock that is further behind the last id was set back; a smaller difference is the error of a new reading."""


def nonce(length: int = _NONCE_LENGTH) -> str:
    """Random letters and digits; seven of them have 3.5e12 values."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def derived_id(micros: int, number: int) -> str:
    """A message's id that others derive from the same facts: a time in microseconds, and a number, such as a hash."""
    letters = []
    for _ in range(_NONCE_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return f"{min(micros, 16**_TIME_DIGITS - 1):0{_TIME_DIGITS}x}" + "".join(letters)


def occurrence_id(queue: str, schedule: str, due_ms: int) -> str:
    """The id of the message of one occurrence of a schedule. It is the same for every janitor that fires it."""
    of = hashlib.sha256(f"{queue}\n{schedule}".encode("utf-8", "surrogateescape")).digest()
    return derived_id(due_ms * 1000, int.from_bytes(of[:8], "big"))


class MessageIds:
    """Creates the ids of one publisher: 13 hex digits of microseconds, then the publisher's nonce.

    Ids sort by time and increase within a publisher. If Redis's clock is set back, the ids go back, too, and get
    another nonce.
    """

    def __init__(self, publisher: str) -> None:
        self._suffix = publisher
        self._last_us = 0

    def take(self, now_us: int, count: int) -> list[str]:
        """The next `count` ids. The time of the first one is `now_us`, or slightly later if that is already used."""
        first = now_us if now_us > self._last_us else self._after_last(now_us)
        self._last_us = first + count - 1
        suffix = self._suffix
        return [f"{stamp:013x}{suffix}" for stamp in range(first, first + count)]

    def _after_last(self, now_us: int) -> int:
        if self._last_us - now_us < _SET_BACK_US:
            return self._last_us + 1
        self._suffix = nonce()  # these microseconds may already be used with the last nonce
        return now_us


match_message_id = _MESSAGE_ID.fullmatch
"""Like `is_message_id`, but without a Python call, for each delivery: a match, or None."""


def is_message_id(raw: bytes) -> bool:
    """Whether this is an id of the form that `MessageIds` creates. Anything else in a queue is forged."""
    return _MESSAGE_ID.fullmatch(raw) is not None


def published_us(message_id: str) -> int:
    """The time at which a message was published: microseconds since the epoch, by Redis's clock.

    Raises:
        DecodeError: the id is forged.
    """
    time = _TIME.match(message_id)
    if time is None:
        raise DecodeError(f"{message_id!r} is not a message id")
    return int(time.group(), 16)


def host_name() -> str:
    """This host's name, reduced to characters that are safe in a key and in a log line."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40] or "host"


def _boot_mark() -> str:
    """Eight characters that distinguish two boots of a host, and two clones of it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "noboot"


def supervisor_id() -> str:
    """A new id for a supervisor: host, boot, pid and a nonce, because host names and pids are reused."""
    return f"{host_name()}:{_boot_mark()}:{os.getpid()}:{nonce()}"


def worker_id(supervisor: str, slot: int) -> str:
    """A new id for the worker in a slot; no two processes share one."""
    return f"{supervisor}/{slot}.{nonce(4)}"


def host_and_pid(supervisor: str) -> tuple[str, int]:
    """The host and the pid of a supervisor's or worker's id; the id itself and 0 if it is forged."""
    parts = supervisor.split(":")
    if len(parts) != 4 or not parts[2].isdigit() or len(parts[2]) > 10:
        return supervisor, 0
    return parts[0], int(parts[2])
