"""What the messages of `bizzmq demo --torture` do to their workers, and the lines that they leave in the ledger."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Mapping, NoReturn

from bizzmq.context import Context
from bizzmq.demo_tasks import note

LEAK_MB, GROWTH_MB = 250, 8
_FOREVER_S = 3600.0
_kept: list[bytes] = []


def handle(body: Mapping[str, Any], context: Context, generation: int) -> None:
    """Do the body's deed, on the first delivery only unless it says `always`; after that, be a good message.

    A line before it says which code of which generation runs, and with which counts.
    """
    counts = context.attempts
    about = f"{counts.retries} {counts.crashes} {counts.requeues} {generation}"
    note(f"start {context.id} {time.monotonic():.6f} {about}\n")
    if body["deed"] in HARMLESS or body["always"] or context.delivery == 1:
        DEEDS[body["deed"]](body)
    note(f"end {context.id} {time.monotonic():.6f}\n")


def _work(body: Mapping[str, Any]) -> None:
    if body["ms"]:
        time.sleep(body["ms"] / 1000)


def _litter(_body: Mapping[str, Any]) -> None:
    """Leave a process behind, which ends with the worker's group or never."""
    subprocess.Popen(["sleep", str(int(_FOREVER_S))])


def _grow(_body: Mapping[str, Any]) -> None:
    _kept.append(b"x" * (GROWTH_MB << 20))


def _segfault(_body: Mapping[str, Any]) -> None:
    ctypes.string_at(0)


def _abort(_body: Mapping[str, Any]) -> NoReturn:
    os.abort()


def _kill_itself(_body: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave_with_success(_body: Mapping[str, Any]) -> NoReturn:
    os._exit(0)


def _leave_with_code(_body: Mapping[str, Any]) -> NoReturn:
    os._exit(3)


def _raise(_body: Mapping[str, Any]) -> NoReturn:
    raise ValueError("this message is meant to fail")


def _exit(_body: Mapping[str, Any]) -> NoReturn:
    sys.exit(5)


def _hang(_body: Mapping[str, Any]) -> None:
    time.sleep(_FOREVER_S)


def _hang_deaf(_body: Mapping[str, Any]) -> None:
    """Hang so that no exception can be raised in here, as in C code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(_FOREVER_S)


def _freeze(_body: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _leak(_body: Mapping[str, Any]) -> None:
    _kept.append(b"x" * (LEAK_MB << 20))
    time.sleep(_FOREVER_S)


DEEDS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "work": _work,
    "litter": _litter,
    "grow": _grow,
    "segfault": _segfault,
    "abort": _abort,
    "kill-itself": _kill_itself,
    "exit-0": _leave_with_success,
    "exit-3": _leave_with_code,
    "raise": _raise,
    "sys-exit": _exit,
    "hang": _hang,
    "hang-deaf": _hang_deaf,
    "freeze": _freeze,
    "leak": _leak,
}
HARMLESS = ("work", "litter", "grow")
CRASHES: Mapping[str, str] = {
    "segfault": "SIGSEGV",
    "abort": "SIGABRT",
    "kill-itself": "SIGKILL",
    "exit-0": "code 0",
    "exit-3": "code 3",
}
"""Deeds that are the worker's death, and what the record of it must name."""
FAILURES: Mapping[str, str] = {
    "raise": "ValueError",
    "sys-exit": "SystemExit",
    "hang": "MessageTimeout",
    "hang-deaf": "MessageTimeout",
    "freeze": "MessageTimeout",
    "leak": "MemoryLimitExceeded",
}
"""Deeds that are a failure of the message, and the error that its record must name."""
