"""The handler of `bizzmq demo --torture`: misbehaves as a message's body requires, and writes to the ledger."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Mapping, NoReturn

from bizzmq.context import Context, attempts_of
from bizzmq.demo.tasks import note

LEAK_MB, GROWTH_MB = 250, 8
_FOREVER_S = 3600.0
_kept: list[bytes] = []


def handle(body: Mapping[str, Any], context: Context, generation: int) -> None:
    """Misbehave as the body requires: in the first delivery, or with `always` in each one. Other deliveries succeed.

    The ledger's line at the start contains the generation of the code, and the counts of earlier attempts.
    """
    counts = attempts_of(context)
    about = f"{counts.retries} {counts.crashes} {counts.requeues} {generation}"
    note(f"start {context.id} {time.monotonic():.6f} {about}\n")
    if body["behaviour"] in HARMLESS or body["always"] or context.delivery == 1:
        BEHAVIOURS[body["behaviour"]](body)
    note(f"end {context.id} {time.monotonic():.6f}\n")


def _work(body: Mapping[str, Any]) -> None:
    if body["ms"]:
        time.sleep(body["ms"] / 1000)


def _litter(_body: Mapping[str, Any]) -> None:
    """Leave a process behind, which ends only if it is killed with the worker's group."""
    subprocess.Popen(["sleep", str(int(_FOREVER_S))])


def _grow(_body: Mapping[str, Any]) -> None:
    _kept.append(b"x" * (GROWTH_MB << 20))


def _segfault(_body: Mapping[str, Any]) -> None:
    ctypes.string_at(0)


def _abort(_body: Mapping[str, Any]) -> NoReturn:
    os.abort()


def _kill_itself(_body: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit_0(_body: Mapping[str, Any]) -> NoReturn:
    os._exit(0)


def _exit_3(_body: Mapping[str, Any]) -> NoReturn:
    os._exit(3)


def _raise(_body: Mapping[str, Any]) -> NoReturn:
    raise ValueError("this message is meant to fail")


def _sys_exit(_body: Mapping[str, Any]) -> NoReturn:
    sys.exit(5)


def _hang(_body: Mapping[str, Any]) -> None:
    time.sleep(_FOREVER_S)


def _hang_without_signals(_body: Mapping[str, Any]) -> None:
    """Hang so that no exception can be raised in the handler, like C code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(_FOREVER_S)


def _freeze(_body: Mapping[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _leak(_body: Mapping[str, Any]) -> None:
    _kept.append(b"x" * (LEAK_MB << 20))
    time.sleep(_FOREVER_S)


BEHAVIOURS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "work": _work,
    "litter": _litter,
    "grow": _grow,
    "segfault": _segfault,
    "abort": _abort,
    "kill-itself": _kill_itself,
    "exit-0": _exit_0,
    "exit-3": _exit_3,
    "raise": _raise,
    "sys-exit": _sys_exit,
    "hang": _hang,
    "hang-deaf": _hang_without_signals,
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
"""Behaviours that kill the worker, and what the record of the crash must contain."""
FAILURES: Mapping[str, str] = {
    "raise": "ValueError",
    "sys-exit": "SystemExit",
    "hang": "MessageTimeout",
    "hang-deaf": "MessageTimeout",
    "freeze": "MessageTimeout",
    "leak": "MemoryLimitExceeded",
}
"""Behaviours that fail the message, and the type of error that its record must contain."""
