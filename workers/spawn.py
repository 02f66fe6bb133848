"""Forking: the child starts with signals in a known state, and never returns into the parent's code."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from types import FrameType
from typing import Callable, Iterable

from bizzmq.logs import log
from bizzmq.workers import exits

_logger = logging.getLogger("bizzmq.workers")
_DEFAULT = (
    signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGPIPE, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH,
)  # fmt: skip

OF_TERMINALS = (signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP)
"""Each of them stops a process that is not in its terminal's foreground."""


def fork(main: Callable[[], int], close: Iterable[int]) -> int:
    """Fork a child that runs `main` and exits with what it returns; gives the child's pid to the parent.

    Signals are blocked across the fork: one that arrives between it and the child's own handlers is
    delivered to the child's handlers, not lost in the parent's. `main` must unblock them with
    `unblock_signals` once it has installed its own. The child leads a process group of its own, so that
    it can be ended with all that its handler starts.

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
            pass  # the child has done it already, or is gone already
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _child(main: Callable[[], int], close: Iterable[int]) -> None:
    """The child's whole life. Does not return."""
    code = exits.INTERNAL_ERROR
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in _DEFAULT:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else signal.SIG_DFL)
        signal.signal(signal.SIGINT, take_no_notice)  # the terminal sends it to everybody; the supervisor decides
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
            code = code or exits.INTERNAL_ERROR
        os._exit(code)


def take_no_notice(_number: int, _frame: FrameType | None) -> None:
    """A signal's handler that does nothing: unlike SIG_IGN, it is no part of a program that is started from here."""


def settle_in(*, keep_stdin: bool = False) -> None:
    """In a process that runs users' code: nothing there waits for a terminal, and what is printed comes out by lines.

    A background process is stopped by the kernel when it reads from its terminal, or changes it. Where these signals
    are ignored, a read is an error and a write goes through; programs that are started from here inherit that.
    """
    for number in OF_TERMINALS:
        signal.signal(number, signal.SIG_IGN)
    if not keep_stdin:
        _read_nothing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _read_nothing() -> None:
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return  # no such device here: what there is stays
    os.dup2(nothing, 0)
    if nothing != 0:
        os.close(nothing)


def _flush() -> None:
    """Write out what is buffered, lest a child writes it again. Nobody may be reading any more, or ever."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue


def unblock_signals() -> None:
    """Let signals through again; see `fork`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
