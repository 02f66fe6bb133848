"""Threads: a fork copies only the thread that forks, but copies the locks that all threads hold.

The kernel counts the threads, because libraries start threads that Python does not know. Some libraries end their
threads before each fork and start them again after it, such as OpenBLAS in numpy and scipy (`pthread_atfork`). So the
threads are counted again after a trial fork. A thread that is still there would be missing in each worker, where its
library waits for it forever.
"""

from __future__ import annotations

import os
import re
import select
import signal
import threading
import warnings
from typing import Collection, Iterator, Mapping, NamedTuple

from bizzmq.preload import Declared
from bizzmq.utils import clock
from bizzmq.workers.preload.finding import Effect, Finding

TRIAL_TIMEOUT_S = 5.0
_TASKS = "/proc/self/task"
_SETTLE_S = 0.01
_SHOWN = 4


class Tolerant(NamedTuple):
    """Threads that their library starts again in a forked child.

    Attributes:
        names: a pattern of their names.
        why: how the library handles a fork.
    """

    library: str
    names: str
    why: str


_TOLERANT = (
    Tolerant("jemalloc", r"jemalloc_bg_thd", "jemalloc starts its background thread again in a child (JEMALLOC 4.5)"),
    Tolerant("sentry-sdk", r"(raven-sentry|sentry)\..*", "sentry-sdk starts its threads again in another process"),
    Tolerant("opentelemetry-sdk", r"Otel\w+", "opentelemetry-sdk starts its threads again after a fork (1.12)"),
)
# A thread without a name has the name of its process; its library is found by the mapped files.
_LIBRARIES: Mapping[str, str] = {
    r"polars": "polars", r"rayon": "rayon", r"tokio-": "tokio", r"jemalloc": "jemalloc", r"event_engine|grpc": "gRPC",
    r"cuda|nv": "CUDA", r"duckdb": "DuckDB", r"JVM|GC Thread|C[12] Compiler": "a Java machine",
}  # fmt: skip
_RUNTIME = re.compile(r"/lib(gomp|omp|iomp5|mkl_rt|mkl_core|tbb)[-.\w]*\.so")
_PACKAGE = re.compile(
    r"/(?:site|dist)-packages/([A-Za-z]\w*|_[a-z]\w*?)(?:\.libs|\.cpython[^/]*|\.abi3[^/]*)?(?:/|\.so|$)"
)
_THREADLESS = {
    "PIL", "hiredis", "lxml", "markupsafe", "msgspec", "numpy", "orjson", "pandas", "psutil", "pydantic_core", "regex",
    "scipy", "setproctitle", "simplejson", "ujson", "yaml",
}  # fmt: skip
"""Common packages that have no threads, or end them before a fork."""


def tasks() -> dict[int, str]:
    """The threads of this process except the main thread, by kernel id, with their names. Empty without /proc."""
    found: dict[int, str] = {}
    try:
        entries = os.listdir(_TASKS)  # noqa: PTH208 - only the names are needed
    except OSError:
        return found
    for entry in entries:
        if int(entry) != os.getpid():
            try:
                with open(f"{_TASKS}/{entry}/comm") as comm:  # noqa: PTH123 - many, and short
                    found[int(entry)] = comm.read().rstrip("\n")
            except OSError:
                continue  # it has just ended
    return found


class Trial(NamedTuple):
    """The result of a trial fork.

    Attributes:
        left: the threads that this process still had afterwards.
        failure: what went wrong in the child; "" if it ended.
    """

    left: dict[int, str]
    failure: str


class TrialFork:
    """A forked child that ends at once. That takes milliseconds, in which the caller can inspect other things."""

    def __init__(self) -> None:
        self._before = tasks()
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # set by the import: no child could be reaped
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there may be threads: that is what the trial is for
            self._pid = os.fork()
            if self._pid == 0:
                os._exit(0)
        os.close(writing)

    def outcome(self, timeout_s: float = TRIAL_TIMEOUT_S) -> Trial:
        """Wait for the child's end, and count the threads of this process."""
        ended = bool(select.select([self._reading], [], [], timeout_s)[0])
        os.close(self._reading)
        if not ended:
            os.kill(self._pid, signal.SIGKILL)
        status = os.waitpid(self._pid, 0)[1]
        failure = ""
        if not ended:
            failure = f"a forked child does not end within {timeout_s:g} s: a library's fork handler hangs in it"
        elif status:
            cause = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"code {status >> 8}"
            failure = f"a forked child ends with {cause} at once: a library's fork handler ends it"
        left, settle_by_s = tasks(), clock.monotonic() + _SETTLE_S
        while left and left.keys() == self._before.keys() and clock.monotonic() < settle_by_s:
            clock.sleep(0.001)  # a thread that was joined may be listed for a moment
            left = tasks()
        return Trial(left, failure)


def findings(before: Collection[int], declared: Declared, fork: TrialFork) -> Iterator[Finding]:
    """The findings about threads that are not in `before`, and about the trial fork."""
    yield from python_findings(declared)
    known = {thread.native_id for thread in threading.enumerate()}
    trial = fork.outcome()
    if trial.failure:
        yield Finding("fork handler", trial.failure, Effect.OFF, "no worker can be forked")
    native = {tid: name for tid, name in trial.left.items() if tid not in before and tid not in known}
    for library, ids in _by_library(native).items():
        names = [native[task] for task in ids]
        tolerant = next((one for one in _TOLERANT if all(re.fullmatch(one.names, name) for name in names)), None)
        what = f"{len(names)} of {library} ({_listed(names)})"
        if declared.names.intersection([what, library, *names]):
            effect, why = Effect.DECLARED, ""
        elif tolerant is not None:
            effect, why = Effect.HARMLESS, tolerant.why
        else:
            effect, why = Effect.OFF, "a fork does not copy them, and the library waits for them there"
        yield Finding("native thread", what, effect, why, tasks=tuple(ids))


def python_findings(declared: Declared) -> Iterator[Finding]:
    """The findings about threads that Python knows."""
    for thread in threading.enumerate():
        if thread is threading.main_thread():
            continue
        tolerant = next((one for one in _TOLERANT if re.fullmatch(one.names, thread.name)), None)
        if thread.ident in declared.threads or thread.name in declared.names:
            effect, why = Effect.DECLARED, ""
        elif tolerant is not None:
            effect, why = Effect.HARMLESS, tolerant.why
        else:
            effect, why = Effect.OFF, "a fork does not copy it, but copies the locks that it holds"
        yield Finding("thread", thread.name, effect, why, tasks=(thread.native_id or 0,))


def _by_library(native: Mapping[int, str]) -> dict[str, list[int]]:
    """The threads by the library that has probably started them."""
    found: dict[str, list[int]] = {}
    with open("/proc/self/comm") as comm:  # noqa: PTH123 - as tasks
        own = comm.read().rstrip("\n")
    for task, name in sorted(native.items()):
        library = next((library for start, library in _LIBRARIES.items() if re.match(start, name)), "")
        if not library:
            nameless = name == own or name.startswith("python")
            library = _mapped_runtimes() if nameless else f"a library that calls them {name.rstrip('0123456789-_#')}"
        found.setdefault(library, []).append(task)
    return found


def _mapped_runtimes() -> str:
    """The libraries that may own threads without a name: loaded thread runtimes, otherwise extension modules."""
    with open("/proc/self/maps", "rb") as maps:  # noqa: PTH123 - as tasks
        paths = {line.split(None, 5)[5].strip().decode("utf-8", "replace") for line in maps if b".so" in line}
    runtimes, extensions = set(), set()
    for path in paths:
        package = _PACKAGE.search(path)
        owner = package.group(1) if package else ""
        runtime = _RUNTIME.search(path)
        if runtime is not None:
            runtimes.add(f"lib{runtime.group(1)}" + (f" in {owner}" if owner else ""))
        elif owner and owner not in _THREADLESS:
            extensions.add(owner)
    return " or ".join(sorted(runtimes) or sorted(extensions)[:_SHOWN]) or "an unknown library"


def _listed(names: list[str]) -> str:
    unique = sorted(set(names))
    more = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return ", ".join(unique[:_SHOWN]) + more
