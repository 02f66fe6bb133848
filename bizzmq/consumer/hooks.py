"""The hooks of a consumer's loop: what its process connects to it. The pool overrides these classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Sequence

from bizzmq.broker.workers import DeadWorker
from bizzmq.metrics.table import MetricsTable
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.protocol.results import KeptResult
from bizzmq.protocol.sealing import Decode
from bizzmq.worker_state import WorkerState


class ActivityRecorder:
    """Records nothing. The pool's scoreboard records the activity for the processes that outlive the worker."""

    metrics: MetricsTable | None = None
    """Where the loop notes counts and latencies; None to measure nothing."""
    owns_process = True
    """Whether the process runs nothing beside the loop, so that its memory and processor time are the handlers'."""

    is_release_requested = False
    """Whether the messages that are claimed and not started must be given back, because the current one takes long."""

    def begin(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int
    ) -> None:
        """A message starts to run. Times are monotonic seconds.

        Args:
            deadline_s: the end of its time limit; 0 if it has none.
            delivery: the number of this delivery.
            rest: the number of messages behind it that were claimed with it.
        """

    def begin_task(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int,
        task: str,
    ) -> None:  # fmt: skip
        """As `begin`, for a message with properties. `task` is the name of its task; "" if it has none."""

    def record_progress(self, queue: str, message_id: str, data: bytes) -> None:
        """A message reports its progress, as JSON of at most 512 bytes."""

    def record_checkpoint(self, queue: str, message_id: str, number: int, data: bytes) -> bool:  # noqa: ARG002 - as above
        """Keep a checkpoint where it survives this process. Returns False if there is no such place."""
        return False

    def forget_checkpoint(self) -> None:
        """The kept checkpoint counts no more."""

    def write_output(self, message_id: str, delivery: int, data: bytes) -> None:
        """Keep output of a delivery behind what it has written before. Any thread of the worker calls it."""

    def output(self, message_id: str, delivery: int) -> bytes:  # noqa: ARG002 - as above
        """The end of what a delivery has written, as lines; empty if it has written nothing."""
        return b""

    def finish(self, message_id: bytes) -> None:
        """A message has succeeded, as all before it; only their acks have not been sent yet."""

    def store_result(self, message_id: bytes, kept: KeptResult) -> bool:  # noqa: ARG002 - the pool's recorder needs it
        """Store what a message's handler has returned, so that it survives this process; before `finish`.

        Returns False if there is no room: the message must be acked before it counts as finished.
        """
        return True

    def finishing(self, message_id: bytes, queue_index: int) -> None:
        """A handler has returned, and its result is being sent. If the worker dies now, the message runs again."""

    def acked(self) -> None:
        """Redis has acked all that was finished: this loop no longer holds any of it."""

    def settling(self, message_id: bytes, queue_index: int) -> None:
        """An attempt is over, and its outcome is being sent. If the worker dies now, the message is not the cause."""

    def idle(self) -> None:
        """No message is running."""

    def waits(self) -> None:
        """No message was found, and a wait begins."""

    def holds_several(self) -> None:
        """More than one message was claimed: some may have to be given back while the first one runs."""

    def claims(self) -> None:
        """All messages of the last claim have been run or given back, and a new claim begins."""


class ClaimGate:
    """Whether the loop may claim from a queue. This gate is always open; the supervisor can close the pool's gate."""

    def is_open(self, queue_index: int) -> bool:  # noqa: ARG002 - the pool's gate needs it
        return True


class Journal:
    """Stores nothing: outcomes that Redis has not received are lost with the process. The pool's journal is a file."""

    def keep(self, queue: str, settlement: DeadWorker) -> None:
        """Redis is unavailable: store what Redis must receive about this worker's messages if it died now."""

    def clear(self, queue: str) -> None:
        """Redis has received all that was stored for this queue, or must no longer receive it."""


@dataclass(frozen=True)
class ConsumerHooks:
    """What the process of a loop connects to it. The defaults do nothing.

    Attributes:
        activity: records what the loop does.
        gate: says whether the loop may claim from a queue.
        journal: stores outcomes while Redis is unavailable.
        state: what the contexts of the messages share.
        is_orphaned: whether the loop must stop because its supervisor has gone.
        descriptors: end a wait when they become readable.
        on_max_messages: requests a replacement; None stops the loop instead.
        decode: reads an envelope, and checks its signature if the queues are signed.
    """

    activity: ActivityRecorder = field(default_factory=ActivityRecorder)
    gate: ClaimGate = field(default_factory=ClaimGate)
    journal: Journal = field(default_factory=Journal)
    state: WorkerState = field(default_factory=WorkerState)
    is_orphaned: Callable[[], bool] = field(default=lambda: False)
    descriptors: Sequence[int] = ()
    on_max_messages: Callable[[], None] | None = None
    decode: Decode = decode_envelope
