"""The connection of an event loop over which notices come. The counterpart of `bizzmq.results.subscription`."""

from __future__ import annotations

from typing import Any, List, Sequence

from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovingError
from bizzmq.errors import BizzMQError, BrokerFullError, BrokerUnavailableError
from bizzmq.results.subscription import FRAMES, KEPT, Note


class AsyncSubscription:
    """As `bizzmq.results.subscription.Subscription`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._channels: List[bytes] = []
        self._ended: List[bytes] = []
        self._has_transactions = True

    async def begin(self, channels: Sequence[bytes], note: Note) -> None:
        """Subscribe to channels, and wait until the server has confirmed that."""
        ended = await self._take_ended()
        self._channels += channels
        confirmed = 0
        try:
            await self.connection.listen(*ended, ("SUBSCRIBE", *channels))
            while confirmed < len(channels):
                confirmed += note(await self.connection.read())
        except BizzMQError:
            self._drop()
            raise

    async def begin_and_read(self, channel: bytes, note: Note) -> Any:
        """As `begin` for one channel, and read the key of that name in the same request. Raises LookupError."""
        if self._channels or not self._has_transactions:
            raise LookupError
        ended = await self._take_ended()
        self._channels.append(channel)
        try:
            await self.connection.listen(*ended, ("MULTI",), ("MGET", channel), ("SUBSCRIBE", channel), ("EXEC",))
            frame = await self.connection.read()
            while isinstance(frame, list):
                note(frame)
                frame = await self.connection.read()
            for _ in ("MGET", "SUBSCRIBE"):
                await self.connection.read()
            (text,), _ = await self.connection.read()
        except BizzMQError as error:
            self._drop()
            if not isinstance(error, (CommandRefusedError, BrokerFullError, SlotMovingError)):
                raise
            self._has_transactions = not isinstance(error, CommandRefusedError)
            raise LookupError from error
        return text

    async def _take_ended(self) -> List[Sequence[Any]]:
        """The command that ends earlier subscriptions, if there are any."""
        ended, self._ended = self._ended, []
        if ended:
            await self._skip_frames()
        return [("UNSUBSCRIBE", *ended)] if ended else []

    async def _skip_frames(self) -> None:
        try:
            while self.connection.has_arrived():
                await self.connection.read()
        except BrokerUnavailableError:
            self.connection.drop()

    async def take(self, note: Note) -> None:
        """Take the frames that have come."""
        for _ in range(FRAMES):
            if not self.connection.has_arrived():
                return
            note(await self.connection.read())

    async def check(self, note: Note) -> None:
        """Find out whether the server is still there."""
        await self.connection.listen(("PING",))
        frame = await self.connection.read()
        while frame[0] != b"pong":
            note(frame)
            frame = await self.connection.read()

    def end(self) -> None:
        """The wait is over."""
        self._ended, self._channels = [*self._ended, *self._channels], []
        if len(self._ended) > KEPT:
            self._drop()

    def _drop(self) -> None:
        """Close the connection: what is still due must not confirm another subscription."""
        self._channels, self._ended = [], []
        self.connection.drop()
