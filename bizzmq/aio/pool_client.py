"""The methods of an async client that ask pools on any host."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bizzmq.admin.arguments import keys_of
from bizzmq.aio.queue_client import AsyncQueueClient
from bizzmq.control import pool_requests
from bizzmq.control.cancel import checked_by
from bizzmq.protocol.pool_request import request_id
from bizzmq.protocol.profile import Profile, joined, read_profile
from bizzmq.utils import clock
from bizzmq.validation import checks


class AsyncPoolClient(AsyncQueueClient):
    """What the commands `bizzmq stack` and `bizzmq pool` do with pools on other hosts."""

    async def ask_pool(
        self,
        pool_id: str,
        what: str,
        *,
        queue_name: str | None = None,
        by: str = "",
        timeout_s: float | timedelta = pool_requests.TIMEOUT_S,
    ) -> str:
        """As BizzMQ.ask_pool. If it is cancelled, the pool may still do it within a minute."""
        k, limit_s = None if queue_name is None else keys_of(queue_name), checks.seconds("timeout_s", timeout_s)
        ask = pool_requests.new_ask(checks.text("pool_id", pool_id), pool_requests.checked_act(what, by))
        return await self._answer_within(await self._perform(pool_requests.send, k, ask), limit_s)

    async def profile(
        self,
        message_id: str = "",
        *,
        task: str = "",
        queue_name: str | None = None,
        for_s: float | timedelta = 10.0,
        by: str = "",
    ) -> Profile:
        """As BizzMQ.profile."""
        k = None if queue_name is None else keys_of(queue_name)
        what = pool_requests.checked_profile(k, message_id, task, for_s, by)
        ids = [request_id() for _ in range(pool_requests.MOST_POOLS)]
        asked = await self._perform(pool_requests.send_profile, what, ids)
        limit_s = what.for_s + pool_requests.TIMEOUT_S
        return joined([read_profile((await self._answer_within(one, limit_s)).encode()) for one in asked])

    async def stack(
        self,
        worker_or_message_id: str,
        *,
        queue_name: str | None = None,
        by: str = "",
        timeout_s: float | timedelta = pool_requests.TIMEOUT_S,
    ) -> str:
        """As BizzMQ.stack."""
        k, limit_s = None if queue_name is None else keys_of(queue_name), checks.seconds("timeout_s", timeout_s)
        which = checks.text("worker_or_message_id", worker_or_message_id)
        asked = await self._perform(pool_requests.send_stack, k, which, checked_by(by), request_id())
        return await self._answer_within(asked, limit_s)

    async def _answer_within(self, asked: pool_requests.Asked, timeout_s: float) -> str:
        give_up_s = clock.monotonic() + timeout_s
        while clock.monotonic() < give_up_s:
            text = await self._perform(pool_requests.read_text, asked)
            if text is not None:
                return text
            await asyncio.sleep(pool_requests.POLL_S)
        return await self._perform(pool_requests.withdraw, asked, timeout_s)
