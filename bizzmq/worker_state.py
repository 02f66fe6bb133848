"""What all deliveries of a worker share: the end of a drain, and where handlers keep progress and checkpoints."""

from __future__ import annotations

from bizzmq.message import Message
from bizzmq.protocol.records import Checkpoint, encode_checkpoint


class RecordKeeper:
    """Keeps the records of a message in memory: where no worker runs the handler, as in a test. Workers override it."""

    def __init__(self) -> None:
        self._kept: tuple[Message | None, Checkpoint] = (None, Checkpoint())

    def progress(self, message: Message, data: bytes) -> None:
        """Keep the progress of a message, as JSON."""

    def write_output(self, message: Message, delivery: int, text: str) -> None:
        """Keep lines of the output of a delivery, while it runs."""

    def load(self, message: Message) -> Checkpoint:
        """The last checkpoint of a message. Raises CheckpointError, BrokerUnavailableError."""
        return self._kept[1] if self._kept[0] is message else Checkpoint()

    def save(self, message: Message, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint. Raises CheckpointError, BrokerUnavailableError."""
        encode_checkpoint(checkpoint)
        self._kept = (message, checkpoint)


class WorkerState:
    """What all deliveries of a worker share.

    Attributes:
        drain_at_s: when a drain ends, monotonic seconds; None unless the pool is draining.
        records: keeps the progress and the checkpoints of the messages.
    """

    def __init__(self) -> None:
        self.drain_at_s: float | None = None
        self.records = RecordKeeper()
