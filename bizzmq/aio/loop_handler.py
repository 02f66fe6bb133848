"""The handler of a consumer beside an event loop: what is async runs in that loop, all else in a thread."""

from __future__ import annotations

import asyncio
import inspect
from concurrent import futures
from contextvars import ContextVar
from typing import Any, Callable, Sequence, Tuple

from bizzmq.consumer.handlers import result as handler_result
from bizzmq.consumer.handlers.handler import OWN_FILES, Handler, UserHandler
from bizzmq.consumer.output import collector
from bizzmq.errors import Draining
from bizzmq.utils import clock

_CHECK_S, _CLOSING_S, _POLL_S = 0.5, 0.3, 0.01
"""How often it is checked that an event loop still runs, and how soon it is closed after it has cancelled its tasks."""
_running: ContextVar[object] = ContextVar("bizzmq_running_handler", default=None)
_task: ContextVar[asyncio.Task[Any] | None] = ContextVar("bizzmq_handler_task", default=None)
OWN_FILES.update((__file__, inspect.getfile(futures.Future)))


class LoopHandler(Handler):
    """As Handler. If the event loop ends while a message runs in it, the message is released without blame.

    Args:
        loop: the event loop.
        is_stopping: whether the consumer was asked to stop.
    """

    def __init__(
        self,
        function: UserHandler,
        loop: asyncio.AbstractEventLoop,
        is_stopping: Callable[[], bool],
        middlewares: Sequence[Any] = (),
    ) -> None:
        super().__init__(function, middlewares)
        self._home = loop
        self._is_stopping = is_stopping
        self._task: asyncio.Task[Any] | None = None
        self._interrupt: BaseException | None = None
        self.interrupt_from_thread = self._interrupt_task

    def is_running_here(self) -> bool:
        """Whether the current task is the handler, or was started by it."""
        return _running.get() is self

    def is_awaited_here(self) -> bool:
        task = _task.get()
        try:
            return task is not None and task is self._task and asyncio.get_running_loop() is self._home
        except RuntimeError:  # a thread that the handler has started
            return False

    def _await(self, awaitable: Any, *, keeps_tasks: bool) -> Any:  # noqa: ARG002 - the loop has tasks of others
        inside = self._inside(awaitable)
        collector.enter_async()
        try:
            future = asyncio.run_coroutine_threadsafe(inside, self._home)
        except RuntimeError:
            inside.close()
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise _gone() from None
        finally:
            collector.leave_async()
        while not futures.wait({future}, _CHECK_S).done:
            if self._home.is_closed() or (self._is_stopping() and not self._home.is_running()):
                future.cancel()
                raise _gone()
        return self._outcome(future)

    def _outcome(self, future: futures.Future[Tuple[Any, Any]]) -> Any:
        try:
            result, exit_request = future.result()
        except futures.CancelledError:
            end_s = clock.monotonic() + _CLOSING_S
            while clock.monotonic() < end_s:  # asyncio.run cancels all tasks, and then closes the loop
                if self._home.is_closed():
                    raise _gone() from None
                clock.sleep(_POLL_S)
            raise
        if exit_request is not None:
            raise exit_request
        return result

    async def _inside(self, awaitable: Any) -> Tuple[Any, SystemExit | None]:
        _running.set(self)
        self._interrupt, self._task = None, asyncio.current_task()
        _task.set(self._task)
        try:
            return await handler_result.awaited(awaitable, self._home, self._take_interrupt), None
        except SystemExit as error:  # it would end the event loop, and with it the program
            return None, error
        finally:
            self._task = None

    def _interrupt_task(self, error: BaseException) -> bool:
        task = self._task
        if task is None:
            return False
        self._interrupt = error
        self._home.call_soon_threadsafe(task.cancel)
        return True

    def _take_interrupt(self) -> BaseException | None:
        error, self._interrupt = self._interrupt, None
        return error


def _gone() -> Draining:
    return Draining("the event loop of this consumer has ended")
