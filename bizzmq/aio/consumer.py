"""A consumer whose async handler runs in the event loop of the caller."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, Sequence

from bizzmq.aio.loop_handler import LoopHandler
from bizzmq.aio.threads import in_thread
from bizzmq.broker.broker import Broker
from bizzmq.consumer.handlers.handler import UserHandler
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.options import ConsumerOptions, ExitReason
from bizzmq.protocol.sealing import Sealer


class LoopConsumer:
    """An InProcessConsumer. Its loop and its lease are kept in threads; the methods here wait without blocking.

    Args:
        new_broker: makes a blocking broker.

    Raises:
        ConfigurationError: the handler does not accept a message.
    """

    def __init__(
        self,
        new_broker: Callable[[], Broker],
        queue: str,
        handler: UserHandler,
        sealer: Sealer | None,
        options: ConsumerOptions,
        middlewares: Sequence[Any] = (),
    ) -> None:
        loop = asyncio.get_running_loop()
        self._handler = LoopHandler(handler, loop, lambda: self._consumer.is_stop_requested, middlewares)
        self._consumer = InProcessConsumer(new_broker, queue, self._handler, sealer=sealer, options=options)
        self._turn = threading.Lock()  # a cancelled start goes on in its thread

    @property
    def is_stopped(self) -> bool:
        """Whether a stop has waited for its end."""
        return self._consumer.is_stopped

    @property
    def ended(self) -> ExitReason | None:
        """As InProcessConsumer.ended."""
        return self._consumer.ended

    @property
    def handled(self) -> int:
        """As InProcessConsumer.handled."""
        return self._consumer.handled

    async def start(self) -> None:
        """Start to consume. If this is cancelled, the consumer stops."""
        try:
            await in_thread(self._start)
        except BaseException:
            self.ask_to_stop()
            raise

    async def stop(self) -> None:
        """Start no new message, wait for the running one, and give back the rest. May be called again.

        It does not wait if the handler itself calls it. If it is cancelled, the consumer stops nevertheless.
        """
        self.ask_to_stop()
        if not self._handler.is_running_here():
            await in_thread(self._stop)

    async def ends_within(self, timeout_s: float) -> bool:
        """Wait until it ends by itself, at most `timeout_s`; whether it has ended."""
        return await in_thread(lambda: self._consumer.ends_within(timeout_s))

    def ask_to_stop(self) -> None:
        """Request the stop without waiting. No new message is started."""
        self._consumer.ask_to_stop()

    def _start(self) -> None:
        with self._turn:
            try:
                self._consumer.start()
            except BaseException:
                self._consumer.abandon()
                raise

    def _stop(self) -> None:
        with self._turn:
            self._consumer.stop()
