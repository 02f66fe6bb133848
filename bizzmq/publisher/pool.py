"""The publishers of a client, each with a connection of its own, for use by several threads."""

from __future__ import annotations

from typing import Callable, TypeVar

from bizzmq.broker.broker import Broker
from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.publisher.publisher import Publisher
from bizzmq.utils.object_pool import ObjectPool

T = TypeVar("T")


class PublisherPool:
    """Lends publishers and their brokers.

    Args:
        make: creates a publisher.
        limit: the most publishers that exist at the same time.
    """

    def __init__(self, make: Callable[[], Publisher], limit: int) -> None:
        self._pool = ObjectPool(make, (PublisherPool.use.__code__,), limit=limit)

    def use(self, action: Callable[[Publisher], T]) -> T:
        """The result of an action that gets a publisher for itself.

        If the action is interrupted, the publisher is closed instead of reused: a reply may be outstanding.
        """
        publisher = self._pool.acquire()
        try:
            result = action(publisher)
        except BizzMQError:
            self._pool.release(publisher)
            raise
        except BaseException:
            self._pool.discard(publisher)
            raise
        self._pool.release(publisher)
        return result

    def execute(self, action: Callable[[Broker], T]) -> T:
        """The result of an action that is safe to repeat; if an open connection fails, it runs again over a new one."""

        def execute(publisher: Publisher) -> T:
            connection = publisher.broker.connection
            connection.refresh()
            is_old = connection.is_open
            try:
                return action(publisher.broker)
            except BrokerUnavailableError:
                if not is_old:
                    raise
                connection.drop()
                return action(publisher.broker)

        return self.use(execute)

    def close(self) -> None:
        """Close all publishers; those in use are closed when they are released."""
        self._pool.close()
