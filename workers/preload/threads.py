"""Threads: a fork copies the one that forks and no other, but the locks of all.

They are counted by the kernel, since libraries start threads that Python does not know. Some libraries end theirs
before each fork and start them again after it (OpenBLAS in numpy and scipy, by `pthread_atfork`): so they are counted
again after a trial fork. What is there then is in no worker, where its library waits for it for ever.
"""

from __future__ import annotations

import os
import re
import select
import signal
import threading
import warnings
from typing import Collection, Iterator, Mapping, NamedTuple

from bizzmq import clock
from bizzmq.preload import Declared
from bizzmq.workers.preload.finding import Effect, Finding

TRIAL_PATIENCE_S = 5.0
_TASKS = "/proc/self/task"
_SETTLE_S = 0.01
_SHOWN = 4


class Tolerant(NamedTuple):
    """Threads that their library starts anew in a forked child, told by their name.

    Attributes:
        why: what the library does about forks.
    """

    library: str
    names: str
    why: str


_TOLERANT = (
    Tolerant("jemalloc", r"jemalloc_bg_thd", "jemalloc starts its background thread again in a child (JEMALLOC 4.5)"),
    Tolerant("sentry-sdk", r"(raven-sentry|sentry)\..*", "sentry-sdk starts its threads anew in another process"),
    Tolerant("opentelemetry-sdk", r"Otel\w+", "opentelemetry-sdk starts its threads anew after a fork (1.12)"),
)
# Threads without a name of their own have that of their process; their libraries are told by what is mapped.
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
"""Packages that are loaded often and have no threads, or end them before a fork."""


def tasks() -> dict[int, str]:
    """The kernel's threads of this process, the main one apart: id -> name."""
    found = {}
    for entry in os.listdir(_TASKS):  # noqa: PTH208 - names are all that is wanted
        if int(entry) != os.getpid():
            try:
                with open(f"{_TASKS}/{entry}/comm") as comm:  # noqa: PTH123 - many, and short
                    found[int(entry)] = comm.read().rstrip("\n")
            except OSError:
                continue  # it has just ended
    return found


class Trial(NamedTuple):
    """What a trial fork has shown.

    Attributes:
        left: the threads that were still there in this process afterwards.
        failure: what became of the child, if it did not simply end.
    """

    left: dict[int, str]
    failure: str


def trial_fork(patience_s: float = TRIAL_PATIENCE_S) -> Trial:
    """Fork a child that ends at once, and see what becomes of both."""
    before = tasks()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # of the import: no child could be waited for
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads is what is looked at
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    os.close(writing)
    ended = bool(select.select([reading], [], [], patience_s)[0])
    os.close(reading)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    failure = ""
    if not ended:
        failure = f"a forked child does not end within {patience_s:g} s: a library's fork handler hangs in it"
    elif status:
        cause = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"code {status >> 8}"
        failure = f"a forked child ends with {cause} at once: a library's fork handler ends it"
    left, settle_by_s = tasks(), clock.monotonic() + _SETTLE_S
    while left and left.keys() == before.keys() and clock.monotonic() < settle_by_s:
        clock.sleep(0.001)  # a thread that was joined may be listed for a moment
        left = tasks()
    return Trial(left, failure)


def findings(before: Collection[int], declared: Declared) -> Iterator[Finding]:
    """What the threads mean that were not there `before`, and what a trial fork shows."""
    yield from python_findings(declared)
    ours = {thread.native_id for thread in threading.enumerate()}
    trial = trial_fork()
    if trial.failure:
        yield Finding("fork handler", trial.failure, Effect.OFF, "no worker can be forked")
    native = {tid: name for tid, name in trial.left.items() if tid not in before and tid not in ours}
    for library, ids in _by_library(native).items():
        names = [native[task] for task in ids]
        tolerant = next((one for one in _TOLERANT if all(re.fullmatch(one.names, name) for name in names)), None)
        what = f"{len(names)} of {library} ({_listed(names)})"
        if declared.names.intersection([what, library, *names]):
            effect, why = Effect.DECLARED, ""
        elif tolerant is not None:
            effect, why = Effect.HARMLESS, tolerant.why
        else:
            effect, why = Effect.OFF, "they are in no fork, where the library waits for them"
        yield Finding("native thread", what, effect, why, tasks=tuple(ids))


def python_findings(declared: Declared) -> Iterator[Finding]:
    """What the threads mean that Python knows."""
    for thread in threading.enumerate():
        if thread is threading.main_thread():
            continue
        tolerant = next((one for one in _TOLERANT if re.fullmatch(one.names, thread.name)), None)
        if thread.ident in declared.threads or thread.name in declared.names:
            effect, why = Effect.DECLARED, ""
        elif tolerant is not None:
            effect, why = Effect.HARMLESS, tolerant.why
        else:
            effect, why = Effect.OFF, "it is in no fork, but the locks that it holds are"
        yield Finding("thread", thread.name, effect, why, tasks=(thread.native_id or 0,))


def _by_library(native: Mapping[int, str]) -> dict[str, list[int]]:
    """Threads by the library that has probably started them."""
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
    """Whose threads may be without a name: runtimes for threads that are loaded, else extension modules that are."""
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
    return " or ".join(sorted(runtimes) or sorted(extensions)[:_SHOWN]) or "a library that is not known"


def _listed(names: list[str]) -> str:
    unique = sorted(set(names))
    more = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return ", ".join(unique[:_SHOWN]) + more
