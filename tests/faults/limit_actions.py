"""A handler that hangs, grows or leaves offspring: for pools, as `tests.faults.limit_actions:handler`.

body["do"] names an action of this file, of offspring_actions.py or of tests/support/actions.py; with body["times"] only
the first body["times"] deliveries do it. A forked copy records events of its own kinds in the ledger.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from typing import Any, Callable

from bizzmq.testing.ledger import END, START, record
from tests.faults.offspring_actions import ESCAPED, OFFSPRING
from tests.handlers import HandlerContext
from tests.support import actions

HANDLER = "tests.faults.limit_actions:handler"
_MUTEX_BYTES = 64


def handler(body: Any, context: HandlerContext) -> None:
    """Do the action. A forked copy that returns from the action records ESCAPED, and no start or end."""
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
        actions.ACTIONS[body["do"]](body)


def _swallow(body: Any, context: HandlerContext) -> None:
    """Loop forever in Python and swallow every exception."""
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def _swallow_in_a_lock(body: Any, context: HandlerContext) -> None:
    """Wait forever for a lock and swallow every exception."""
    lock = threading.Lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def _deadlock_in_c(body: Any, context: HandlerContext) -> None:
    """Wait forever, with the GIL held, for a C mutex that this thread holds."""
    mutex = ctypes.create_string_buffer(_MUTEX_BYTES)  # zeros are PTHREAD_MUTEX_INITIALIZER
    for _ in range(2):
        ctypes.PyDLL(None).pthread_mutex_lock(mutex)


def _sleep_in_c(body: Any, context: HandlerContext) -> None:
    """Sleep for an hour without giving up the GIL."""
    ctypes.PyDLL(None).sleep(3600)


def _match(body: Any, context: HandlerContext) -> None:
    """Match a pattern that practically never ends."""
    re.match(r"(a+)+$", "a" * 100 + "b")


def _power(body: Any, context: HandlerContext) -> None:
    """Compute for an hour in one operation."""
    pow(3, (1 << 400_000) - 1, (1 << 400_000) - 3)


def _grow(body: Any, context: HandlerContext) -> None:
    """{"bytes": number, "path": file}: keep `bytes` bytes of memory, then wait for the file."""
    actions.leak(body)
    actions.wait_for_file(body)


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
