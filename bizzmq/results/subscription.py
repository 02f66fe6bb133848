"""The connection to one server over which notices come, for one wait after the other."""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

from bizzmq.connection.base import Connection
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovingError
from bizzmq.errors import BizzMQError, BrokerFullError, BrokerUnavailableError

KEPT = 100
"""With more channels than this, the connection is closed at the end of a wait."""
FRAMES = 200
"""The most frames that are taken at once."""
Note = Callable[[Sequence[Any]], bool]
"""Takes a frame, and returns whether it confirms that one channel is subscribed to."""


class Subscription:
    """Subscribes to channels, and takes the frames that come.

    A subscription that is not needed any more is ended by the next one, which saves each wait a command.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._channels: List[bytes] = []
        self._ended: List[bytes] = []
        self._has_transactions = True

    def begin(self, channels: Sequence[bytes], note: Note) -> None:
        """Subscribe to channels, and wait until the server has confirmed that."""
        ended = self._take_ended()
        self._channels += channels
        confirmed = 0
        try:
            self.connection.listen(*ended, ("SUBSCRIBE", *channels))
            while confirmed < len(channels):
                confirmed += note(self.connection.read())
        except BizzMQError:
            self._drop()
            raise

    def begin_and_read(self, channel: bytes, note: Note) -> Any:
        """As `begin` for one channel, and read the key of that name in the same request, which makes waits shorter.

        Raises:
            LookupError: this is not possible here: use `begin`, and read the key after it.
        """
        if self._channels or not self._has_transactions:
            raise LookupError
        ended = self._take_ended()
        self._channels.append(channel)
        try:
            self.connection.listen(*ended, ("MULTI",), ("MGET", channel), ("SUBSCRIBE", channel), ("EXEC",))
            frame = self.connection.read()
            while isinstance(frame, list):
                note(frame)
                frame = self.connection.read()
            for _ in ("MGET", "SUBSCRIBE"):
                self.connection.read()
            (text,), _ = self.connection.read()
        except BizzMQError as error:
            self._drop()
            if not isinstance(error, (CommandRefusedError, BrokerFullError, SlotMovingError)):
                raise
            self._has_transactions = not isinstance(error, CommandRefusedError)
            raise LookupError from error
        return text

    def _take_ended(self) -> List[Sequence[Any]]:
        """The command that ends earlier subscriptions, if there are any."""
        ended, self._ended = self._ended, []
        if ended:
            self._skip_frames()
        return [("UNSUBSCRIBE", *ended)] if ended else []

    def _skip_frames(self) -> None:
        """Read what has come since the last wait. A connection that was closed while it was idle is not a failure."""
        try:
            while self.connection.wait(0.0):
                self.connection.read()
        except BrokerUnavailableError:
            self.connection.drop()

    def take(self, note: Note) -> None:
        """Take the frames that have come."""
        for _ in range(FRAMES):
            if not self.connection.wait(0.0):
                return
            note(self.connection.read())

    def check(self, note: Note) -> None:
        """Find out whether the server is still there: while it sends no frame, nothing else shows that."""
        self.connection.listen(("PING",))
        frame = self.connection.read()
        while frame[0] != b"pong":
            note(frame)
            frame = self.connection.read()

    def end(self) -> None:
        """The wait is over."""
        self._ended, self._channels = [*self._ended, *self._channels], []
        if len(self._ended) > KEPT:
            self._drop()

    def _drop(self) -> None:
        """Close the connection: what is still due must not confirm another subscription."""
        self._channels, self._ended = [], []
        self.connection.drop()
