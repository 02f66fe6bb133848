"""The orderly exit of a worker: what the interpreter does at the end of a program, done by a forked process.

A forked process has to end with `os._exit`, because the frames of its parent's code lie below its own. So this module
does what the interpreter does before that: it joins threads, runs `atexit` functions, and flushes files.

Which process runs what: each worker runs the `atexit` functions that the import has registered, because it has its own
copy of the data that they write out. Only the process that has made an object with a finalizer, such as a
`TemporaryDirectory`, runs that finalizer.
"""

# ruff: noqa: SLF001 - the interpreter's exit steps have no public names
from __future__ import annotations

import atexit
import contextlib
import gc
import io
import logging
import os
import sys
import threading
import weakref
from typing import Any, Callable

from bizzmq.utils.logs import log
from bizzmq.workers.process import output

_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_logger = logging.getLogger("bizzmq.worker")


def discard_inherited() -> None:
    """Forget the `atexit` functions and finalizers that the parent has registered. Call it before the import."""
    atexit._clear()
    disable_finalizers()
    atexit.register(logging.shutdown)
    finalizers: Any = weakref.finalize
    if finalizers._registered_with_atexit:
        atexit.register(finalizers._exitfunc)
    multiprocessing: Any = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        atexit.register(multiprocessing._exit_function)


def disable_finalizers() -> None:
    """Leave the finalizers that exist now to the parent. Call it in a forked process."""
    registry: Any = weakref.finalize
    for finalizer in list(registry._registry):
        finalizer.atexit = False


def has_finalizers() -> bool:
    """Whether this process has made something that it has to remove when it exits."""
    registry: Any = weakref.finalize
    return any(info.atexit for info in registry._registry.values())


def run_finalizers() -> None:
    """Remove what this process has made, when the process that has imported the handler exits."""
    registry: Any = weakref.finalize
    if registry._registered_with_atexit:
        registry._exitfunc()


def shut_down(
    limit_s: float, code: int, *first: Callable[[], object], at_cut_off: Callable[[], object] = lambda: None
) -> None:
    """Call the functions in `first`, then do what the interpreter does at the end of a program.

    Args:
        limit_s: after this time the process exits with `code`, even if something is left to do.
        at_cut_off: called before that exit.
    """
    watch = threading.Timer(max(0.0, limit_s), _cut_off, (limit_s, code, at_cut_off))
    watch.daemon = True
    with contextlib.suppress(RuntimeError):  # the system has no thread left: the supervisor's drain timeout applies
        watch.start()
    gc.unfreeze()  # `gc.freeze` hides what was imported from the collector, and so from `flush_files`
    for step in (*first, _join_threads, atexit._run_exitfuncs, flush_files):
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - as the interpreter does: log it and go on
            log(_logger, logging.ERROR, "an error at the end of a worker", error=error)
    watch.cancel()


def _cut_off(limit_s: float, code: int, last: Callable[[], object]) -> None:
    log(_logger, logging.WARNING, "the end of a worker takes too long and is cut off: threads, atexit functions or "
        "files are not finished", after_s=round(limit_s, 3))  # fmt: skip
    try:
        last()
        logging.shutdown()
    finally:
        os._exit(code)


def _join_threads() -> None:
    threading._shutdown()  # type: ignore[attr-defined]


def flush_files() -> None:
    """Write out the buffers of all files that are open for writing."""
    for thing in gc.get_objects():
        if issubclass(type(thing), _WRITERS):  # not isinstance, which may make a lazy object load itself
            try:
                if not thing.closed and thing.writable():
                    thing.flush()
            except (OSError, ValueError):
                continue  # its reader is gone, or another thread is closing it
    output.flush_c()
