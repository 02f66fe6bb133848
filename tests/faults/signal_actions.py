"""A handler that changes signal settings as libraries do: for pools, as `tests.faults.signal_actions:handler`.

It does body["do"] in its first delivery, then waits for the file body["path"] if there is one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Any, Callable

from tests import handlers

HANDLER = "tests.faults.signal_actions:handler"
READY = ".ready"
STOPS = (signal.SIGTERM, signal.SIGINT)


def handler(body: Any, context: handlers.HandlerContext) -> None:
    with handlers._recorded(context):
        if context.delivery <= body.get("times", 1):
            ACTIONS[body["do"]]()
        if body.get("path"):
            Path(body["path"] + READY).touch()
            while not Path(body["path"]).exists():
                time.sleep(0.005)


def _asyncio_run() -> None:
    """Use asyncio as its documentation shows; leaves SIG_DFL, the default of SIGINT, and no wake-up descriptor."""

    async def main() -> None:
        for number in STOPS:
            asyncio.get_running_loop().add_signal_handler(number, _nothing)
        await asyncio.sleep(0)

    asyncio.run(main())


def _install(handler: Any) -> Callable[[], None]:
    return lambda: [signal.signal(number, handler) for number in STOPS] and None


def _nothing(*_: object) -> None:
    return


def _raise(error: BaseException) -> Any:
    def raising(*_: object) -> None:
        raise error

    return raising


def _leave(*_: object) -> None:
    os._exit(0)


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _take_wakeup() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, _nothing)


def _take_usr1() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, _nothing)


def _unregister_usr1() -> None:
    faulthandler.unregister(signal.SIGUSR1)
    faulthandler.disable()


def _take_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 3600.0)


def _fork_and_terminate() -> None:
    """Send SIGTERM to a sleeping forked copy, which must end."""
    child = os.fork()
    if child == 0:
        time.sleep(60.0)
        os._exit(1)
    os.kill(child, signal.SIGTERM)
    started_s = time.monotonic()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM, status
    assert time.monotonic() - started_s < 10.0


ACTIONS: dict[str, Callable[[], None]] = {
    "nothing": _nothing, "asyncio": _asyncio_run, "default": _install(signal.SIG_DFL),
    "ignore": _install(signal.SIG_IGN), "swallow": _install(_nothing), "raise exit": _install(_raise(SystemExit(1))),
    "raise interrupt": _install(_raise(KeyboardInterrupt())), "raise error": _install(_raise(ValueError("stopped"))),
    "raise cancelled": _install(_raise(asyncio.CancelledError())), "leave": _install(_leave), "block": _block,
    "take wakeup": _take_wakeup, "take usr1": _take_usr1, "unregister usr1": _unregister_usr1,
    "take alarm": _take_alarm, "fork": _fork_and_terminate,
}  # fmt: skip
