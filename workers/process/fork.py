"""Fork a child that starts with signals in a known state, and never returns into the parent's code."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Callable, Iterable

from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.process import output

_logger = logging.getLogger("bizzmq.workers")
_RESET = (
    signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGPIPE, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH,
)  # fmt: skip

OF_TERMINALS = (signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP)
"""Each of these signals stops a process that is not in its terminal's foreground."""


def fork(main: Callable[[], int], close: Iterable[int]) -> int:
    """Fork a child that runs `main` and exits with its return value; returns the child's pid.

    Signals are blocked across the fork: one that arrives before the child has installed its own handlers reaches
    those, and is not lost in the parent's. `main` must unblock signals with `unblock_signals` once it has installed
    its handlers. The child leads a process group of its own, so that it can be killed with all that its handler
    starts.

    Args:
        close: descriptors of the parent that the child must not keep open.

    Raises:
        OSError: the system cannot fork now.
    """
    _flush()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(main, close)
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass  # the child has done it, or is gone
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _child(main: Callable[[], int], close: Iterable[int]) -> None:
    """All that the child does. Does not return."""
    code = exit_codes.INTERNAL_ERROR
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else signal.SIG_DFL)
        signal.signal(signal.SIGINT, do_nothing)  # the terminal sends it to all processes; the supervisor decides
        for descriptor in close:
            os.close(descriptor)
        code = main()
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the parent's code
        log(_logger, logging.CRITICAL, "a process of the pool has failed", error=error)
    finally:
        try:
            logging.shutdown()
            _flush()
        except BaseException:  # noqa: BLE001 - a closed stdout must not keep the child alive
            code = code or exit_codes.INTERNAL_ERROR
        os._exit(code)


def do_nothing(_number: int, _frame: FrameType | None) -> None:
    """A signal handler that does nothing. Unlike SIG_IGN, programs that are started from here do not inherit it."""


def detach_from_terminal(*, keep_stdin: bool = False) -> None:
    """Prepare a process that runs users' code: nothing in it waits for a terminal. For what it prints see `output`.

    The kernel stops a background process that reads from its terminal, or changes it. Where these signals are ignored,
    a read is an error and a write goes through; programs that are started from here inherit that.
    """
    for number in OF_TERMINALS:
        signal.signal(number, signal.SIG_IGN)
    if not keep_stdin:
        _empty_stdin()
    output.replace_streams()


def _empty_stdin() -> None:
    try:
        null = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return  # the system has no such device: stdin stays as it is
    os.dup2(null, 0)
    if null != 0:
        os.close(null)


def _flush() -> None:
    """Write out what is buffered, so that a child does not write it again. There may be no reader any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue


def unblock_signals() -> None:
    """Receive signals again; see `fork`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
