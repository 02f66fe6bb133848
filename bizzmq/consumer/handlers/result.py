"""The result of a handler that is neither None nor True: what it says about the attempt."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
from concurrent.futures import Future
from typing import Any, Callable, Generator, Optional

from bizzmq.errors import HandlerResultError

_CONTEXT_MANAGERS = (contextlib._GeneratorContextManager, contextlib._AsyncGeneratorContextManager)  # noqa: SLF001
_LAZY = (map, filter, zip, enumerate)
SCALARS = frozenset((bool, int, float, str, bytes))
"""The types of results that need neither be waited for nor be looked into."""
_PLAIN = {type(None), *SCALARS, dict, list, tuple}
_COLLECTIONS = (list, tuple, set, frozenset)
TakeInterrupt = Callable[[], Optional[BaseException]]


def is_pending(result: Any) -> bool:
    """Whether the outcome comes from another thread or process."""
    if isinstance(result, Future):
        return True
    pools = sys.modules.get("multiprocessing.pool")
    return pools is not None and isinstance(result, pools.AsyncResult)


def wait_for(result: Any) -> Any:
    """The value of a pending result; raises its exception. An interrupt of the wait cancels the result."""
    try:
        return result.result() if isinstance(result, Future) else result.get()
    except BaseException:
        if isinstance(result, Future):
            result.cancel()
        raise


async def _done(result: Any) -> None:
    """Wait for a pending future while the event loop runs. Afterwards its outcome is available at once."""
    if isinstance(result, Future):
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        result.add_done_callback(lambda _: _set(loop, done))
        try:
            await done.wait()
        except BaseException:
            result.cancel()
            raise


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
        loop.call_soon_threadsafe(event.set)


def check_loop(awaitable: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Raise HandlerResultError for a future or task that belongs to another event loop."""
    if asyncio.isfuture(awaitable) and not awaitable.done() and awaitable.get_loop() is not loop:
        kind = type(awaitable).__name__
        raise HandlerResultError(
            f"the handler returned a {kind} of another event loop, which is not waited for: "
            "make the handler async and await it there"
        )


async def awaited(result: Any, loop: asyncio.AbstractEventLoop, take_interrupt: TakeInterrupt) -> Any:
    """The final value of an awaitable, whose result may be a further awaitable or pending result.

    Args:
        take_interrupt: see `_Interruptible`.
    """
    while True:
        if is_pending(result):
            await _Interruptible(_done(result), take_interrupt)
            result = wait_for(result)
        elif inspect.isawaitable(result):
            check_loop(result, loop)
            result = await _Interruptible(result, take_interrupt)
        else:
            return result


class _Interruptible:
    """Awaits an awaitable. If the task is cancelled for an interrupt, the interrupt is raised where the code waits.

    Args:
        take_interrupt: returns the error of the interrupt, once; None if the task was cancelled for another reason.
    """

    def __init__(self, awaitable: Any, take_interrupt: TakeInterrupt) -> None:
        self._awaitable = awaitable
        self._take_interrupt = take_interrupt

    def __await__(self) -> Generator[Any, Any, Any]:
        async def inner() -> Any:
            return await self._awaitable

        steps = inner()
        step: Callable[[Any], Any] = steps.send
        given: Any = None
        while True:
            try:
                waits_for = step(given)
            except StopIteration as end:
                return end.value
            try:
                given = yield waits_for
                step = steps.send
            except BaseException as error:  # noqa: BLE001 - it is raised where the code waits
                cancelled = isinstance(error, asyncio.CancelledError)
                given = (self._take_interrupt() if cancelled else None) or error
                step = steps.throw


def failure_in(result: Any) -> BaseException | None:
    """The failure that a result shows: a returned exception, or an error for work that was not done. Else None.

    Futures in a collection are not waited for, because they may need an event loop that is not running now. Raises the
    exceptions of those that are done.
    """
    if isinstance(result, BaseException):
        return result
    problem = _problem(result) or _collection_problem(result)
    return HandlerResultError(f"the handler returned {problem}") if problem else None


def _collection_problem(result: Any) -> str | None:
    """Why work is not done, by the first item of a collection that shows it; None if it is done."""
    items = result.values() if isinstance(result, dict) else result if isinstance(result, _COLLECTIONS) else ()
    if {*map(type, items)} <= _PLAIN:
        return None
    for item in items:
        problem = _item_problem(item)
        if problem:
            _close_coroutines(items)
            return f"{_named(result)} with {problem}"
    return None


def _item_problem(item: Any) -> str | None:
    if isinstance(item, Future) or asyncio.isfuture(item):
        # Tasks that an async handler leaves behind are cancelled.
        if not item.done() or (asyncio.isfuture(item) and item.cancelled()):
            return f"{_named(item)} that is not done yet: wait for it in the handler"
        item.result()
        return None
    if is_pending(item):
        return f"an object of type {type(item).__name__}, whose result is not fetched: call its get in the handler"
    if inspect.isawaitable(item):
        return "an awaitable that is not awaited: await it in the handler, by asyncio.gather for several"
    return None if callable(item) else _problem(item)  # a function among data may be data


def _close_coroutines(items: Any) -> None:
    """Close the coroutines in a collection: Python warns about each one that was never awaited."""
    for item in items:
        if inspect.iscoroutine(item):
            item.close()


def _problem(result: Any) -> str | None:
    """Why a result shows that work was not done; None if it does not."""
    if _is_unstarted(result):
        return f"{_named(result)} that was never started: start it in the handler, and wait for it"
    if inspect.isgenerator(result):
        return _unfinished_problem(result.gi_frame, "a generator")
    if inspect.isasyncgen(result):
        return _unfinished_problem(result.ag_frame, "an async generator")
    if isinstance(result, _LAZY) or type(result).__module__ == "itertools" or _is_result_iterator(result):
        return f"{_named(result)} object, of which nothing has run: loop over it in the handler"
    if isinstance(result, _CONTEXT_MANAGERS):
        return "a context manager, whose body has not run: enter it in the handler, using with"
    if callable(result):
        name = getattr(result, "__qualname__", None) or f"an object of type {type(result).__qualname__}"
        return f"a callable ({name}) that is not called: call it in the handler, or return nothing"
    return None


def _is_unstarted(result: Any) -> bool:
    """Whether this is a thread, or a process of multiprocessing, that was never started."""
    if isinstance(result, threading.Thread):
        return result.ident is None
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and isinstance(result, processes.BaseProcess) and result.ident is None


def _is_result_iterator(result: Any) -> bool:
    """Whether this is the iterator of a pool's `imap`, whose results are lost if it is not iterated."""
    pools = sys.modules.get("multiprocessing.pool")
    return pools is not None and isinstance(result, pools.IMapIterator)


def _named(result: Any) -> str:
    """The name of the type, with its article."""
    name = type(result).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def _unfinished_problem(frame: Any, kind: str) -> str | None:
    return f"{kind}, whose body has not run to its end: loop over it in the handler" if frame is not None else None
