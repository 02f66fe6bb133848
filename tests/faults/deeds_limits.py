"""A handler that hangs, grows or leaves offspring: for pools, as `tests.faults.deeds_limits:handler`.

It does body["do"], a name from below, from deeds_offspring.py or from tests/support/deeds.py; with body["times"]
only the first so many deliveries do it. What a forked copy does goes into the ledger under names of its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from typing import Any, Callable

from bizzmq.testing.ledger import END, START, record
from tests.faults.deeds_offspring import ESCAPED, OFFSPRING
from tests.handlers import HandlerContext
from tests.support import deeds

HANDLER = "tests.faults.deeds_limits:handler"
_MUTEX_BYTES = 64


def handler(body: Any, context: HandlerContext) -> None:
    """Do it. A forked copy that comes out of the deed says ESCAPED, and neither starts nor ends anything."""
    worker = os.getpid()
    record(START, context.id, queue=context.queue, delivery=context.delivery, retry_count=context.retry_count)
    outcome = "error"
    try:
        if context.delivery <= body.get("times", context.delivery):
            _do(body, context)
        outcome = "ok"
    finally:
        if os.getpid() == worker:
            record(END, context.id, outcome=outcome)
        else:
            record(ESCAPED, context.id)


def _do(body: Any, context: HandlerContext) -> None:
    own = _OWN.get(body["do"])
    if own is not None:
        own(body, context)
    else:
        deeds.DEEDS[body["do"]](body)


def _swallow(body: Any, context: HandlerContext) -> None:
    """Loop for ever in Python, whatever is raised."""
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def _swallow_in_a_lock(body: Any, context: HandlerContext) -> None:
    """Wait for ever for a lock, whatever is raised."""
    lock = threading.Lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def _deadlock_in_c(body: Any, context: HandlerContext) -> None:
    """Wait for ever for a mutex of C that this thread holds, and keep the GIL."""
    mutex = ctypes.create_string_buffer(_MUTEX_BYTES)  # zeros are PTHREAD_MUTEX_INITIALIZER
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)


def _sleep_in_c(body: Any, context: HandlerContext) -> None:
    """Sleep for an hour without giving up the GIL."""
    ctypes.PyDLL(None).sleep(3600)


def _match(body: Any, context: HandlerContext) -> None:
    """A pattern that takes longer than the universe has."""
    re.match(r"(a+)+$", "a" * 100 + "b")


def _power(body: Any, context: HandlerContext) -> None:
    """A sum that takes an hour, in one operation."""
    pow(3, (1 << 400_000) - 1, (1 << 400_000) - 3)


def _grow(body: Any, context: HandlerContext) -> None:
    """{"bytes": how many, "path": file}: keep so much memory, then wait for the file."""
    deeds.leak(body)
    deeds.wait_for_file(body)


_OWN: dict[str, Callable[[Any, HandlerContext], None]] = {
    "swallow": _swallow,
    "swallow_in_a_lock": _swallow_in_a_lock,
    "deadlock_in_c": _deadlock_in_c,
    "sleep_in_c": _sleep_in_c,
    "match": _match,
    "power": _power,
    "grow": _grow,
    **OFFSPRING,
}
