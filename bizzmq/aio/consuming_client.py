"""The methods of an async client that consume beside the event loop."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Awaitable, Callable

from bizzmq.aio.consumer import LoopConsumer
from bizzmq.consumer.handlers.handler import UserHandler
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.errors import BizzMQError, ClosedError
from bizzmq.validation import checks


class AsyncConsumingClient:
    """Starts consumers, and stops them when the client closes. The client sets `_closed` and an empty `_consumers`."""

    _closed: bool
    _consumers: list[LoopConsumer]

    def _require_open(self) -> None:
        raise NotImplementedError  # the client knows whether it is closed

    async def _new_consumer(self, queue_name: str, handler: UserHandler, options: ConsumerOptions) -> LoopConsumer:
        """A consumer that is not started. Raises ClosedError and ConfigurationError."""
        raise NotImplementedError  # the client has the settings

    async def consume_message_from_queue(self, queue_name: str, handler: UserHandler) -> Callable[[], Awaitable[None]]:
        """Start to handle this queue's messages, one at a time.

        An async handler runs in this event loop, any other one in a thread of the consumer, where it may block. The
        messages are claimed and settled in that thread, so a loop that is busy costs no lease.

        Returns:
            An async function that stops the consumer. It waits for the running message and releases the messages that
            have not started. It may be called again.

        Raises:
            ConfigurationError: the name is invalid, or the handler does not accept a message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return (await self._start_consuming(queue_name, handler, ConsumerOptions())).stop

    async def consume_until_empty(
        self, queue_name: str, handler: UserHandler, timeout_s: float | timedelta | None = None
    ) -> int:
        """As BizzMQ.consume_until_empty. The handler runs as in `consume_message_from_queue`.

        If it is cancelled, no further message is started; `close` waits for the running one.
        """
        limit_s = checks.seconds("timeout_s", timeout_s, otherwise=", or None") if timeout_s is not None else math.inf
        consumer = await self._start_consuming(queue_name, handler, ConsumerOptions(burst=True))
        try:
            is_empty = await consumer.ends_within(limit_s)
        except BaseException:
            consumer.ask_to_stop()
            raise
        await consumer.stop()
        self._forget_consumer(consumer)
        if not is_empty:
            raise TimeoutError(f"the queue {queue_name!r} was not empty within {limit_s:g} s")
        if consumer.ended is None:
            raise BizzMQError(f"the consumer of {queue_name!r} failed before the queue was empty: see the log")
        if consumer.ended is not ExitReason.BURST:
            raise ClosedError(f"this client was closed before the queue {queue_name!r} was empty")
        return consumer.handled

    async def _start_consuming(self, queue_name: str, handler: UserHandler, options: ConsumerOptions) -> LoopConsumer:
        consumer = await self._new_consumer(queue_name, handler, options)
        for earlier in [one for one in self._consumers if one.is_stopped]:
            self._forget_consumer(earlier)
        self._consumers.append(consumer)  # before the start, so that `close` stops it even if the start is cancelled
        try:
            await consumer.start()
        except BizzMQError:
            self._forget_consumer(consumer)
            raise
        if self._closed:  # in the meantime, by a task that may not have seen this consumer
            await consumer.stop()
            self._require_open()
        return consumer

    async def _stop_consumers(self) -> None:
        while self._consumers:
            consumer = self._consumers[-1]
            await consumer.stop()
            self._forget_consumer(consumer)

    def _forget_consumer(self, consumer: LoopConsumer) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)
