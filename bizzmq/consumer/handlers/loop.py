"""The event loop in which a worker runs what is async."""

from __future__ import annotations

import asyncio
from typing import AbstractSet, Any

from bizzmq.consumer.handlers import result as handler_result
from bizzmq.consumer.output import collector


class HandlerLoop:
    """An event loop that is made at its first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[Any] | None = None
        self._interrupt: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raise an error in the user's handler, sync or async. Called by a signal handler in the main thread."""
        if self._running is None or self._loop is None or asyncio.current_task(self._loop) is self._running:
            raise error  # the handler computes, or blocks its loop
        self._interrupt = error
        self._loop.call_soon_threadsafe(self._running.cancel)

    def interrupt_from_thread(self, error: BaseException) -> bool:
        """Raise an error in what is async, where it waits. False if the thread runs no async code, or computes."""
        running, loop = self._running, self._loop
        if running is None or loop is None or asyncio.current_task(loop) is running:
            return False
        self._interrupt = error
        loop.call_soon_threadsafe(running.cancel)
        return True

    def close(self) -> None:
        """Close the event loop, if there is one, and cancel the tasks that hooks have left in it."""
        if self._loop is not None:
            self._cancel_others(frozenset())
            self._loop.close()
            self._loop = None

    def run(self, awaitable: Any, *, keeps_tasks: bool) -> Any:
        """The result of an awaitable. Unless it keeps tasks, those that it has started are cancelled."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()

        self._interrupt = None
        kept = asyncio.all_tasks(self._loop)  # of hooks, and of libraries that an earlier message started
        collector.enter_async()
        self._running = self._loop.create_task(handler_result.awaited(awaitable, self._loop, self._take_interrupt))
        try:
            return self._loop.run_until_complete(self._running)
        except asyncio.CancelledError:
            if self._interrupt is not None:
                raise self._interrupt from None
            raise
        finally:
            self._running = None
            collector.leave_async()
            if not keeps_tasks:
                self._cancel_others(kept)

    def _take_interrupt(self) -> BaseException | None:
        error, self._interrupt = self._interrupt, None
        return error

    def _cancel_others(self, kept: AbstractSet[asyncio.Task[Any]]) -> None:
        """Cancel the tasks that the handler left running, so that one message does not leak into the next."""
        assert self._loop is not None
        others = asyncio.all_tasks(self._loop) - kept
        for task in others:
            task.cancel()
        if others:
            self._loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
