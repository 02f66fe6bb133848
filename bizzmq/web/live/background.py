"""Reads in the background, part by part: a page shows what is known so far, and does not wait for the rest."""

from __future__ import annotations

import asyncio
import time
from typing import Any, AsyncIterator, Callable, Optional

_REST_S = 0.05


class Background:
    """A task of the running event loop that ends by itself. It rests after each part, so that pages are answered.

    Args:
        parts: does one part of the work at each turn.

    Attributes:
        began_s, ended_s: when, by the monotonic clock; `ended_s` is None while it runs.
    """

    def __init__(self, parts: AsyncIterator[Any]) -> None:
        self.began_s = time.monotonic()
        self.ended_s: Optional[float] = None
        self._stepped = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(parts))
        self._task.add_done_callback(_note)

    @property
    def is_running(self) -> bool:
        """Whether there is more to come."""
        return self.ended_s is None

    @property
    def has_failed(self) -> bool:
        """Whether it has ended with an error."""
        return self._task.done() and (self._task.cancelled() or self._task.exception() is not None)

    @property
    def taken_s(self) -> float:
        """How long it has run, seconds."""
        return (time.monotonic() if self.ended_s is None else self.ended_s) - self.began_s

    @property
    def age_s(self) -> float:
        """How long ago it ended, seconds; 0 while it runs."""
        return 0.0 if self.ended_s is None else time.monotonic() - self.ended_s

    async def until(self, is_enough: Callable[[], bool]) -> None:
        """Wait until enough is known, or all. Raises what the work has raised."""
        while self.ended_s is None and not is_enough():
            await self._stepped.wait()
        if self.ended_s is not None:
            await asyncio.shield(self._task)

    async def _run(self, parts: AsyncIterator[Any]) -> None:
        try:
            part_s = time.monotonic()
            async for _ in parts:
                self._wake()
                await asyncio.sleep(min(_REST_S, time.monotonic() - part_s))
                part_s = time.monotonic()
        finally:
            self.ended_s = time.monotonic()
            self._wake()

    def _wake(self) -> None:
        stepped, self._stepped = self._stepped, asyncio.Event()
        stepped.set()


def _note(task: asyncio.Task[None]) -> None:
    """Look at the error of a task, so that asyncio does not complain if no page has asked for it."""
    if not task.cancelled():
        task.exception()
