"""The exception of a limit in an async handler: it is raised where the handler awaits."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Generator

import pytest

from bizzmq.consumer.handlers.handler import Handler
from bizzmq.errors import MessageTimeout

LATE = MessageTimeout(1.0)


class Interrupted(Handler):
    """A handler that is interrupted as soon as it awaits, and `seen`, what it has recorded."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.seen: list[str] = []

    def result(self) -> BaseException | None:
        context: Any = self
        return self.run({}, context)

    def soon(self) -> None:
        """Called by the function: the interrupt comes when it has returned control to its loop."""
        asyncio.get_running_loop().call_soon(self.interrupt, LATE)


async def _sleeps(_: Any, on: Interrupted) -> None:
    on.soon()
    await asyncio.sleep(3600)


async def _waits_with_a_limit_of_its_own(_: Any, on: Interrupted) -> None:
    on.soon()
    await asyncio.wait_for(asyncio.sleep(3600), 3600)


async def _gathers(_: Any, on: Interrupted) -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            on.seen.append("child ended")

    children = [asyncio.ensure_future(child()) for _ in range(2)]
    await asyncio.sleep(0)
    on.soon()
    await asyncio.gather(*children)


async def _waits_for_what_is_no_coroutine(_: Any, on: Interrupted) -> None:
    class Awaitable:
        def __await__(self) -> Generator[Any, None, None]:
            yield from asyncio.sleep(3600).__await__()

    on.soon()
    await Awaitable()


async def _blocks_its_loop(_: Any, on: Interrupted) -> None:
    await asyncio.sleep(0)
    on.interrupt(LATE)  # like a signal, while this code runs
    time.sleep(3600)  # noqa: ASYNC251 - that is what it does


async def _cleans_up(_: Any, on: Interrupted) -> None:
    on.soon()
    try:
        await asyncio.sleep(3600)
    except MessageTimeout:
        await asyncio.sleep(0.001)
        on.seen.append("caught")
        raise
    finally:
        await asyncio.sleep(0.001)
        on.seen.append("cleaned")


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (_sleeps, []),
        (_waits_with_a_limit_of_its_own, []),
        (_gathers, ["child ended"] * 2),
        (_waits_for_what_is_no_coroutine, []),
        (_blocks_its_loop, []),
        (_cleans_up, ["caught", "cleaned"]),
    ],
)
def test_it_is_raised_where_the_handler_awaits(function: Callable[..., Any], seen: list[str]) -> None:
    handler = Interrupted(function)

    assert handler.result() is LATE

    assert handler.seen == seen
    handler.close()


async def _goes_on(_: Any, on: Interrupted) -> None:
    on.soon()
    try:
        await asyncio.sleep(3600)
    except MessageTimeout:
        on.seen.append(await asyncio.wait_for(asyncio.sleep(0.001, "goes on"), 60))


def test_a_handler_that_catches_it_can_continue_and_succeed() -> None:
    handler = Interrupted(_goes_on)

    assert [handler.result(), handler.result()] == [None, None]

    assert handler.seen == ["goes on"] * 2
    handler.close()


async def _cancels_itself(_: Any, on: Interrupted) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _awaits_a_failure(_: Any, on: Interrupted) -> None:
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, ValueError("its own"))
    await future


@pytest.mark.parametrize(
    ("function", "error"), [(_cancels_itself, asyncio.CancelledError), (_awaits_a_failure, ValueError)]
)
def test_other_exceptions_are_unchanged(function: Callable[..., Any], error: type[BaseException]) -> None:
    handler = Interrupted(function)

    assert type(handler.result()) is error
    handler.close()


def test_an_interrupt_of_one_message_does_not_affect_the_next() -> None:
    handler = Interrupted(_sleeps)
    assert handler.result() is LATE
    handler._function = _cancels_itself

    assert isinstance(handler.result(), asyncio.CancelledError)
    handler.close()
