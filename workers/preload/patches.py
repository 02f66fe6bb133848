"""Monkey patches: gevent and eventlet replace Python's own functions that wait.

Their loop has descriptors, callbacks and locks that must not be copied by a fork, and their threads are greenlets.
"""

from __future__ import annotations

import _thread
import select
import time
from typing import Any, Iterator, Mapping, Tuple

from bizzmq.workers.preload.finding import Effect, Finding

KIND = "monkey patch"
_WAITING: Mapping[str, Tuple[Any, str]] = {
    "time.sleep": (time, "sleep"), "select.select": (select, "select"), "threads": (_thread, "start_new_thread"),
}  # fmt: skip
_OWN = {name: getattr(module, function) for name, (module, function) in _WAITING.items()}
"""The functions at the time when this module was imported."""


def findings() -> Iterator[Finding]:
    """One finding, if all of these functions have been replaced."""
    now = {name: getattr(module, function, None) for name, (module, function) in _WAITING.items()}
    if all(now[name] is not _OWN[name] for name in _WAITING):
        libraries = sorted({str(getattr(one, "__module__", "")).partition(".")[0] for one in now.values()} - {""})
        what = f"{', '.join(now)} of {' and '.join(libraries) or 'an unknown library'}"
        yield Finding(KIND, what, Effect.OFF, "its loop and its green threads are not fork-safe")
