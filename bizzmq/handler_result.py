"""What a handler's result says of its attempt, where it is neither None nor True."""

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
_PLAIN = {type(None), bool, int, float, str, bytes, dict, list, tuple}
_COLLECTIONS = (list, tuple, set, frozenset)
TakeInterrupt = Callable[[], Optional[BaseException]]


def is_pending(result: Any) -> bool:
    """Whether the outcome comes from another thread or process, and is not here yet."""
    if isinstance(result, Future):
        return True
    pools = sys.modules.get("multiprocessing.pool")
    return pools is not None and isinstance(result, pools.AsyncResult)


def wait_for(result: Any) -> Any:
    """Wait for a pending result; raises what it raises. An interrupt of the wait cancels the result."""
    try:
        return result.result() if isinstance(result, Future) else result.get()
    except BaseException:
        if isinstance(result, Future):
            result.cancel()
        raise


async def arrival_of(result: Any) -> None:
    """Let a pending future come, while the running loop goes on; its outcome is then there at once."""
    if isinstance(result, Future):
        arrived, loop = asyncio.Event(), asyncio.get_running_loop()
        result.add_done_callback(lambda _: _tell(loop, arrived))
        try:
            await arrived.wait()
        except BaseException:
            result.cancel()
            raise


def _tell(loop: asyncio.AbstractEventLoop, arrived: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(arrived.set)


def check_loop(awaitable: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Raises HandlerResultError for a future or task that another event loop would have to finish."""
    if asyncio.isfuture(awaitable) and not awaitable.done() and awaitable.get_loop() is not loop:
        kind = type(awaitable).__name__
        raise HandlerResultError(
            f"the handler returned a {kind} of another event loop, which is not waited for: "
            "make the handler async and await it there"
        )


async def awaited(result: Any, loop: asyncio.AbstractEventLoop, take_interrupt: TakeInterrupt) -> Any:
    """What comes of an awaitable in the end, which may be another one. See `_Interruptible` for `take_interrupt`."""
    while True:
        if is_pending(result):
            await _Interruptible(arrival_of(result), take_interrupt)
            result = wait_for(result)
        elif inspect.isawaitable(result):
            check_loop(result, loop)
            result = await _Interruptible(result, take_interrupt)
        else:
            return result


class _Interruptible:
    """Awaits something. If its task is cancelled for an interrupt, that one's error is raised where it waits."""

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
            except BaseException as error:  # noqa: BLE001 - it is raised where the awaitable waits
                cancelled = isinstance(error, asyncio.CancelledError)
                given = (self._take_interrupt() if cancelled else None) or error
                step = steps.throw


def failure_in(result: Any) -> BaseException | None:
    """An exception that was returned, or the error for a result that shows that work was not done; else None.

    Futures in a collection are not waited for, since an event loop that does not run now may have to finish them.
    Raises what those raise that are done.
    """
    if isinstance(result, BaseException):
        return result
    why = _why_not_done(result) or _why_a_part_is_not_done(result)
    return HandlerResultError(f"the handler returned {why}") if why else None


def _why_a_part_is_not_done(result: Any) -> str:
    """The same of what a collection holds: the first that is not done."""
    parts = result.values() if isinstance(result, dict) else result if isinstance(result, _COLLECTIONS) else ()
    if {*map(type, parts)} <= _PLAIN:
        return ""
    for part in parts:
        why = _why_not_done_in_part(part)
        if why:
            _close_coroutines(parts)
            return f"{_named(result)} with {why}"
    return ""


def _why_not_done_in_part(part: Any) -> str:
    if isinstance(part, Future) or asyncio.isfuture(part):
        if not part.done() or (asyncio.isfuture(part) and part.cancelled()):  # as what an async handler leaves is
            return f"{_named(part)} that is not done yet: wait for it in the handler"
        part.result()
        return ""
    if is_pending(part):
        return f"an object of type {type(part).__name__}, whose result nobody takes: call its get in the handler"
    if inspect.isawaitable(part):
        return "something to await, which nobody awaits: await it in the handler, by asyncio.gather for several"
    return "" if callable(part) else _why_not_done(part)  # a function among data may be data


def _close_coroutines(parts: Any) -> None:
    """Else each of them is warned about for itself."""
    for part in parts:
        if inspect.iscoroutine(part):
            part.close()


def _why_not_done(result: Any) -> str:
    if _is_unstarted(result):
        return f"{_named(result)} that was never started: start it in the handler, and wait for it"
    if inspect.isgenerator(result):
        return _if_unfinished(result.gi_frame, "a generator")
    if inspect.isasyncgen(result):
        return _if_unfinished(result.ag_frame, "an async generator")
    if isinstance(result, _LAZY) or type(result).__module__ == "itertools" or _takes_results(result):
        return f"{_named(result)} object, of which nothing has run: loop over it in the handler"
    if isinstance(result, _CONTEXT_MANAGERS):
        return "a context manager, whose body has not run: enter it in the handler, using with"
    if callable(result):
        name = getattr(result, "__qualname__", None) or f"an object of type {type(result).__qualname__}"
        return f"something to call ({name}), which nobody calls: call it in the handler, or return nothing"
    return ""


def _is_unstarted(result: Any) -> bool:
    """Of a thread, or a process of multiprocessing."""
    if isinstance(result, threading.Thread):
        return result.ident is None
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and isinstance(result, processes.BaseProcess) and result.ident is None


def _takes_results(result: Any) -> bool:
    """Whether this is what `imap` of a pool gives, whose results are lost unless somebody takes them."""
    pools = sys.modules.get("multiprocessing.pool")
    return pools is not None and isinstance(result, pools.IMapIterator)


def _named(result: Any) -> str:
    """Its type's name with the article that belongs to it."""
    name = type(result).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def _if_unfinished(frame: Any, kind: str) -> str:
    return f"{kind}, whose body has not run to its end: loop over it in the handler" if frame is not None else ""
