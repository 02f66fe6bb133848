"""A process that is unrelated to any pool and records each signal that it receives.

`python -m tests.faults.bystander LOG [PID [leads]]`: with a pid, which must be free, it runs under that pid, as the
kernel may reuse it for any process; with `leads` it also leads a session and a group of that number.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from pathlib import Path

_CLONE3 = 435
_UNTOUCHABLE = (signal.SIGKILL, signal.SIGSTOP)
READY = "ready"


def main() -> None:
    log, *rest = sys.argv[1:]
    if rest and _clone_as(int(rest[0])):
        os.wait()  # so that the number is free again when the bystander has ended
        return
    if "leads" in rest:
        os.setsid()
    with Path(log).open("a", buffering=1) as file:

        def note(number: int, _frame: object) -> None:
            file.write(f"{signal.Signals(number).name}\n")

        for number in signal.valid_signals() - set(_UNTOUCHABLE):
            if signal.SIGRTMIN > number != signal.SIGCHLD:
                signal.signal(number, note)
        file.write(f"{READY} {os.getpid()}\n")
        while True:
            time.sleep(60)


def _clone_as(pid: int) -> int:
    """Fork a child with this pid; returns 0 in the child. OSError if the pid is taken or the system forbids it."""
    wanted = (ctypes.c_int * 1)(pid)
    arguments = (ctypes.c_uint64 * 11)()
    arguments[4], arguments[8], arguments[9] = signal.SIGCHLD, ctypes.addressof(wanted), 1
    libc = ctypes.PyDLL(None, use_errno=True)
    found = int(libc.syscall(_CLONE3, ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments))))
    if found < 0:
        number = ctypes.get_errno()
        sys.exit(f"{errno.errorcode[number]}: no process with pid {pid}")
    return found


if __name__ == "__main__":
    main()
