"""The actions of `tests.handlers:by_body`: a body {"do": NAME, ...} names one of these functions."""

from __future__ import annotations

import collections
import ctypes
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from bizzmq.errors import Reject, RetryLater

Body = Mapping[str, Any]
_POLL_S = 0.005


class ActionError(Exception):
    """The error that a failing handler raises or returns."""


def ok(body: Body) -> Any:
    """{"value": what to return}"""
    return body.get("value")


def sleep(body: Body) -> None:
    """{"sleep_s": seconds}"""
    time.sleep(body.get("sleep_s", 0.1))


def cpu(body: Body) -> int:
    """{"cpu_s": seconds of this process's CPU time}; returns the rounds of arithmetic done."""
    until_s = time.process_time() + body.get("cpu_s", 0.01)
    rounds = 0
    while time.process_time() < until_s:
        sum(number * number for number in range(1_000))
        rounds += 1
    return rounds


def wait_for_file(body: Body) -> None:
    """{"path": file}: run until the test creates it."""
    path = Path(body["path"])
    while not path.exists():
        time.sleep(_POLL_S)


def fail(body: Body) -> None:
    """{"text": the error's text}"""
    raise ActionError(body.get("text", "asked to fail"))


def return_error(body: Body) -> ActionError:
    """{"text": the error's text}"""
    return ActionError(body.get("text", "asked to return an error"))


def sys_exit(body: Body) -> None:
    """{"code": 0}"""
    sys.exit(body.get("code", 0))


def os_exit(body: Body) -> None:
    """{"code": 0}"""
    os._exit(body.get("code", 0))


def segv(body: Body) -> None:
    """Read address 0."""
    _no_core_file()
    ctypes.string_at(0)


def abort(body: Body) -> None:
    _no_core_file()
    os.abort()


def kill_self(body: Body) -> None:
    """{"signal": number, SIGKILL by default}"""
    os.kill(os.getpid(), body.get("signal", signal.SIGKILL))


def keyboard_interrupt(body: Body) -> None:
    raise KeyboardInterrupt


def base_exception(body: Body) -> None:
    raise BaseException("asked to raise a bare BaseException")  # noqa: TRY002 - it is what is tested


def retry_later(body: Body) -> None:
    """{"delay_s": seconds}"""
    raise RetryLater(body.get("delay_s", 0.1))


def reject(body: Body) -> None:
    """{"reason": text}"""
    raise Reject(body.get("reason", "asked to reject"))


def ignore_sigterm_sleep(body: Body) -> None:
    """{"sleep_s": seconds}, during which SIGTERM is ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until_s = time.monotonic() + body.get("sleep_s", 60.0)
    while time.monotonic() < until_s:
        time.sleep(0.05)


def hang(body: Body) -> None:
    """Loop forever in Python."""
    while True:
        pass


def hold_gil(body: Body) -> None:
    """Loop forever in C: the GIL is never released, so no Python signal handler runs."""
    collections.deque(itertools.repeat(None), maxlen=0)


def wait_for_lock(body: Body) -> None:
    """Acquire a lock twice."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def leave_grandchild(body: Body) -> None:
    """{"own_session": false}: leave behind a process that sleeps for a minute."""
    command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    subprocess.Popen(command, start_new_session=body.get("own_session", False))


def leave_fork(body: Body) -> None:
    """Leave behind a forked copy of the worker that sleeps for a minute, with every inherited descriptor."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def leave_thread(body: Body) -> None:
    """Leave behind a thread that sleeps for a minute and would keep the process alive."""
    threading.Thread(target=time.sleep, args=(60,)).start()


def leak(body: Body) -> None:
    """{"bytes": number}: allocate memory that stays in use."""
    _LEAKED.append(b"x" * body.get("bytes", 1_000_000))


_LEAKED: list[bytes] = []


def _no_core_file() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


ACTIONS: Dict[str, Callable[[Body], Any]] = {
    "ok": ok,
    "sleep": sleep,
    "cpu": cpu,
    "wait_for_file": wait_for_file,
    "raise": fail,
    "return_error": return_error,
    "exit": sys_exit,
    "os_exit": os_exit,
    "segv": segv,
    "abort": abort,
    "kill_self": kill_self,
    "keyboard_interrupt": keyboard_interrupt,
    "base_exception": base_exception,
    "retry_later": retry_later,
    "reject": reject,
    "ignore_sigterm_sleep": ignore_sigterm_sleep,
    "hang": hang,
    "hold_gil": hold_gil,
    "wait_for_lock": wait_for_lock,
    "leave_grandchild": leave_grandchild,
    "leave_fork": leave_fork,
    "leave_thread": leave_thread,
    "leak": leak,
}
