"""The publishers of an async client, each with a connection of its own, for use by several tasks."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable, TypeVar

from bizzmq.aio.broker import AsyncBroker
from bizzmq.aio.pool import AsyncPool, LoopPools
from bizzmq.aio.publisher import AsyncPublisher
from bizzmq.errors import BizzMQError, BrokerUnavailableError

T = TypeVar("T")


class AsyncPublisherPool:
    """Lends publishers and their brokers, in each event loop up to `limit` of them.

    Args:
        make: creates a publisher.
    """

    def __init__(self, make: Callable[[], AsyncPublisher], limit: int) -> None:
        self._pools = LoopPools(lambda: AsyncPool(make, limit=limit))

    async def use(self, action: Callable[[AsyncPublisher], Awaitable[T]]) -> T:
        """The result of an action that gets a publisher for itself.

        After a cancellation the publisher is used again: a connection on which a reply is due is closed by then.
        """
        pool = self._pools.here()
        publisher = await pool.acquire()
        try:
            result = await action(publisher)
        except (BizzMQError, asyncio.CancelledError):
            pool.release(publisher)
            raise
        except BaseException:
            pool.discard(publisher)
            raise
        pool.release(publisher)
        return result

    async def execute(self, action: Callable[[AsyncBroker], Awaitable[T]]) -> T:
        """The result of an action that is safe to repeat; if an open connection fails, it runs again over a new one."""

        async def execute(publisher: AsyncPublisher) -> T:
            connection = publisher.broker.connection
            is_old = connection.is_open
            try:
                return await action(publisher.broker)
            except BrokerUnavailableError:
                if not is_old:
                    raise
                connection.drop()
                return await action(publisher.broker)

        return await self.use(execute)

    def close(self) -> None:
        """Close all publishers; those in use are closed when they are released."""
        self._pools.close()
