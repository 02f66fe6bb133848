"""Renders what open pages show, once for all browsers that show the same, and sends what has changed."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Optional, Set

from bizzmq.web.rendering import Shown

Render = Callable[[], Awaitable[Shown]]
INTERVAL_S = 2.0
_IDLE_SHARE = 4
_MOST = 500


class TooManyFollowersError(Exception):
    """There are as many open pages as the hub serves."""


class _Topic:
    """One page as it is shown: what it showed last, and the queues of its followers."""

    def __init__(self, render: Render) -> None:
        self.render = render
        self.followers: Set[asyncio.Queue[str]] = set()
        self.last: Optional[str] = None

    async def refresh(self) -> None:
        shown = await self.render()
        if shown.is_trouble:
            self.last = None
            self.send(event("trouble", {"sentence": shown.sentence}))
        elif shown.html != self.last:
            self.last = shown.html
            self.send(event("page", {"html": shown.html, "at": time.time()}))
        else:
            self.send(event("alive", {}))

    def send(self, text: str) -> None:
        for follower in self.followers:
            if follower.full():
                follower.get_nowait()  # a slow browser gets the newest page only
            follower.put_nowait(text)


def event(name: str, data: Any) -> str:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


class Hub:
    """The open pages of one event loop. It does nothing while there are none."""

    def __init__(self) -> None:
        self._topics: Dict[Any, _Topic] = {}
        self._task: Optional[asyncio.Task[None]] = None
        self._count = 0
        self._is_closed = False

    async def follow(self, key: Any, render: Render) -> AsyncIterator[str]:
        """The events of a page. Raises TooManyFollowersError.

        Args:
            key: equal for pages that show the same.
            render: renders such a page.
        """
        if self._count >= _MOST or self._is_closed:
            raise TooManyFollowersError
        topic = self._topics.setdefault(key, _Topic(render))
        own: asyncio.Queue[str] = asyncio.Queue(1)
        topic.followers.add(own)
        if topic.last is not None:  # what the browser has loaded may be older
            own.put_nowait(event("page", {"html": topic.last, "at": time.time()}))
        self._count += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.ensure_future(self._poll())
            yield "retry: 2000\n\n"
            while not self._is_closed:
                try:
                    yield await asyncio.wait_for(own.get(), 1.0)
                except asyncio.TimeoutError:
                    continue
        finally:
            self._count -= 1
            topic.followers.discard(own)
            if not topic.followers and self._topics.get(key) is topic:
                del self._topics[key]

    def close(self) -> None:
        """End all events, so that a server can stop."""
        self._is_closed = True

    async def _poll(self) -> None:
        while self._topics and not self._is_closed:
            began_s = time.monotonic()
            for topic in list(self._topics.values()):
                await topic.refresh()
            taken_s = time.monotonic() - began_s
            # However many queues there are, the poller is idle for most of the time.
            await asyncio.sleep(max(INTERVAL_S - taken_s, _IDLE_SHARE * taken_s))
