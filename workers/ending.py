"""The end of a worker that leaves in order: as a Python program ends, though the process is a fork of another one.

`os._exit` is what ends a fork, since the frames of its parent's code lie below its own. So what the interpreter does
before that is done here: threads are joined, `atexit` is run, files are flushed.

What belongs to whom: the functions of `atexit` that the import has registered are run by each worker, which has its own
copy of what they write out. Finalizers of things that were there before the fork, a `TemporaryDirectory` above all, are
run by the process that has made them, and by nobody else.
"""

# ruff: noqa: SLF001 - what the interpreter does at its end has no public names
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

from bizzmq.logs import log

_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_logger = logging.getLogger("bizzmq.worker")


def begin_anew() -> None:
    """In a process that is about to import the handler: what its parent has registered is the parent's."""
    atexit._clear()
    leave_finalizers()
    atexit.register(logging.shutdown)
    finalizers: Any = weakref.finalize
    if finalizers._registered_with_atexit:
        atexit.register(finalizers._exitfunc)
    multiprocessing: Any = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        atexit.register(multiprocessing._exit_function)


def leave_finalizers() -> None:
    """In a forked worker: finalizers of what was there before are the business of the process that has made it."""
    registry: Any = weakref.finalize
    for finalizer in list(registry._registry):
        finalizer.atexit = False


def has_finalizers() -> bool:
    """Whether this process has made something that it has to remove at its end."""
    registry: Any = weakref.finalize
    return any(info.atexit for info in registry._registry.values())


def run_finalizers() -> None:
    """In the process that has imported the handler, when it ends: what it has made itself is removed."""
    registry: Any = weakref.finalize
    if registry._registered_with_atexit:
        registry._exitfunc()


def end_in_order(limit_s: float, code: int, *rest: Callable[[], object]) -> None:
    """Do what the interpreter does when a program ends, and first the `rest`.

    Args:
        limit_s: after this time the process is gone, with `code`, whatever is left to do.
    """
    watch = threading.Timer(max(0.0, limit_s), _cut_off, (limit_s, code))
    watch.daemon = True
    with contextlib.suppress(RuntimeError):  # the system has no thread left: then the drain's end is the limit
        watch.start()
    gc.unfreeze()  # what was imported is hidden from the collector, and from `flush_files`
    for step in (*rest, _join_threads, atexit._run_exitfuncs, flush_files):
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - as the interpreter: said, and the rest is done
            log(_logger, logging.ERROR, "an error at the end of a worker", error=error)
    watch.cancel()


def _cut_off(limit_s: float, code: int) -> None:
    log(_logger, logging.WARNING, "the end of a worker takes too long and is cut off: threads, atexit functions or "
        "files are not finished", after_s=round(limit_s, 3))  # fmt: skip
    logging.shutdown()
    os._exit(code)


def _join_threads() -> None:
    threading._shutdown()  # type: ignore[attr-defined]


def flush_files() -> None:
    """Write out what is buffered in files that are open for writing."""
    for thing in gc.get_objects():
        if issubclass(type(thing), _WRITERS):  # its type alone is asked: a lazy object stays as lazy as it is
            try:
                if not thing.closed and thing.writable():
                    thing.flush()
            except (OSError, ValueError):
                continue  # nobody reads any more, or it is being closed
