"""The handler of tests: runs tasks in the thread of the caller, also inside a running event loop."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

from bizzmq.consumer.handlers.handler import OWN_FILES, Handler

T = TypeVar("T")
_OF_ATTEMPTS = (SystemExit, GeneratorExit, asyncio.CancelledError)
"""The other errors that are no Exception, and that a worker takes as the failure of a message."""
OWN_FILES.add(__file__)


class CallerHandler(Handler):
    """A handler for code that an event loop may be running: it awaits in another thread then."""

    def _await(self, awaitable: Any, *, keeps_tasks: bool) -> Any:
        wait = super()._await
        return outside_loop(lambda: wait(awaitable, keeps_tasks=keeps_tasks))


def outside_loop(function: Callable[[], T]) -> T:
    """The result of a function, called where no event loop runs: in this thread, or else in another one."""
    if not is_in_loop():
        return function()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, "bizzmq-test") as executor:
        return executor.submit(context.run, function).result()


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_for_the_test(error: BaseException | None) -> bool:
    """Whether an error in a task ends the test and not only the attempt: Ctrl+C, or pytest's own, as of `fail`."""
    return not isinstance(error, (Exception, *_OF_ATTEMPTS, type(None)))
