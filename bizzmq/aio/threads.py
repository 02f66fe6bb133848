"""Blocking work beside an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, Tuple, TypeVar

T = TypeVar("T")
_Outcome = Tuple[Any, "BaseException | None"]


async def in_thread(action: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """The result of a blocking action, which runs in a thread of its own.

    Args:
        discard: called with the result, in a thread, if the caller was cancelled before it got the result.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Outcome] = loop.create_future()

    def deliver(outcome: _Outcome) -> None:
        if not future.done():
            future.set_result(outcome)
        elif outcome[1] is None:
            _start(lambda: discard(outcome[0]))

    def work() -> None:
        try:
            outcome: _Outcome = action(), None
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller
            outcome = None, error
        try:
            loop.call_soon_threadsafe(deliver, outcome)
        except RuntimeError:  # the loop has been closed in the meantime
            if outcome[1] is None:
                discard(outcome[0])

    _start(work)
    try:
        result, error = await future
    finally:
        future.cancel()
    if error is not None:
        raise error
    found: T = result
    return found


def _start(work: Callable[[], object]) -> None:
    threading.Thread(target=work, name="bizzmq-aio", daemon=True).start()
