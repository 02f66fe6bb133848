"""Waiting for several messages in asyncio: one subscription for all messages of an app."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterable, List, Tuple, TypeVar, Union

from bizzmq.app.handle import Handle
from bizzmq.app.waiting import checked_handles, checked_return_when, parted
from bizzmq.results.awaited import Awaited
from bizzmq.results.result_client import checked_timeout

if TYPE_CHECKING:
    from bizzmq.aio.results import AsyncResultReaders

R = TypeVar("R")


async def async_as_completed(
    handles: Iterable[Handle[R]], timeout_s: float | timedelta | None = None
) -> AsyncIterator[Handle[R]]:
    """The handles in the order in which their messages end, as `as_completed` yields them, for `async for`.

    Raises:
        TimeoutError: some have not ended in time.
        ConfigurationError: an argument is invalid.
        ConnectionLimitError, ClosedError: as `Handle.aresult`.
    """
    found, limit_s = checked_handles(handles), checked_timeout(timeout_s)
    by_awaited: Dict[Awaited, Handle[R]] = {}
    sources: Dict[AsyncResultReaders, List[Awaited]] = {}
    for handle in found:
        waiting = await handle.awaited_in_loop()
        if waiting is None:
            yield handle
        else:
            by_awaited[waiting[1]] = handle
            sources.setdefault(waiting[0], []).append(waiting[1])
    ends = _endings(sources, limit_s)
    try:
        async for awaited in ends:
            handle = by_awaited[awaited]
            handle.note(awaited.resolution)
            yield handle
    finally:
        await ends.aclose()  # type: ignore[attr-defined]  # it is a generator


async def async_wait(
    handles: Iterable[Handle[Any]], return_when: str = "all", timeout_s: float | timedelta | None = None
) -> Tuple[List[Handle[Any]], List[Handle[Any]]]:
    """Wait until messages have ended: as `wait`, for asyncio.

    Raises:
        ConfigurationError: an argument is invalid.
        ConnectionLimitError, ClosedError: as `Handle.aresult`.
    """
    found = checked_handles(handles)
    checked_return_when(return_when)
    done: List[Handle[Any]] = []
    completed = async_as_completed(found, timeout_s)
    try:
        async for handle in completed:
            done.append(handle)
            if return_when == "first":
                break
    except TimeoutError:
        pass
    finally:
        await completed.aclose()  # type: ignore[attr-defined]  # it is a generator
    return parted(found, done)


async def _endings(sources: Dict[AsyncResultReaders, List[Awaited]], timeout_s: float | None) -> AsyncIterator[Awaited]:
    """The messages of several clients in the order in which they end."""
    ended: asyncio.Queue[Union[Awaited, BaseException, None]] = asyncio.Queue()

    async def pump(readers: AsyncResultReaders, awaited: List[Awaited]) -> None:
        try:
            async for one in readers.endings(awaited, timeout_s):
                ended.put_nowait(one)
            ended.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the ends are read
            ended.put_nowait(error)

    tasks = [asyncio.ensure_future(pump(readers, awaited)) for readers, awaited in sources.items()]
    try:
        running = len(tasks)
        while running:
            one = await ended.get()
            if isinstance(one, BaseException):
                raise one
            if one is None:
                running -= 1
            else:
                yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
