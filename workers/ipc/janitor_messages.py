"""The messages between the supervisor and the janitor."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Mapping, Sequence, Union

from bizzmq.workers.ipc.channel import ChannelMessage, Direction
from bizzmq.workers.ipc.op import Op
from bizzmq.workers.ipc.worker_exit import WorkerExit


@dataclass(frozen=True)
class Register(ChannelMessage):
    """Requests the janitor to register a worker. It answers `Registered`."""

    op: ClassVar[Enum] = Op.REGISTER

    worker: str


@dataclass(frozen=True)
class Registered(ChannelMessage):
    """Confirms that a worker is registered on all queues except `without`."""

    op: ClassVar[Enum] = Op.REGISTERED

    worker: str
    without: Sequence[str]


@dataclass(frozen=True)
class Adopt(ChannelMessage):
    """Requests the janitor to watch a worker's process, in case the supervisor dies."""

    op: ClassVar[Enum] = Op.ADOPT

    worker: str
    pid: int
    slot: int


@dataclass(frozen=True)
class Requeue(ChannelMessage):
    """Requests the janitor to settle what a dead worker held. It answers `Requeued`."""

    op: ClassVar[Enum] = Op.REQUEUE

    worker_exit: WorkerExit

    @property
    def worker(self) -> str:
        return self.worker_exit.worker

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Requeue:
        return cls(WorkerExit.of_fields(fields["worker_exit"]))


@dataclass(frozen=True)
class Requeued(ChannelMessage):
    """Confirms that what a dead worker held is settled."""

    op: ClassVar[Enum] = Op.REQUEUED

    worker: str


@dataclass(frozen=True)
class ReleasePrefetched(ChannelMessage):
    """Requests the janitor to give back what a worker holds beyond the message that it runs.

    Attributes:
        delivery: the number of the running message's delivery, modulo 65536.
    """

    op: ClassVar[Enum] = Op.RECALL

    worker: str
    queue: str
    running: str
    delivery: int


@dataclass(frozen=True)
class SignOff(ChannelMessage):
    """Requests the janitor to unregister the supervisor. It answers `SignedOff`, and exits."""

    op: ClassVar[Enum] = Op.LEAVE


@dataclass(frozen=True)
class SignedOff(ChannelMessage):
    """Confirms that the supervisor is not registered any more."""

    op: ClassVar[Enum] = Op.LEFT


@dataclass(frozen=True)
class Alive(ChannelMessage):
    """Reports that the janitor is not stuck.

    Attributes:
        away: whether Redis is away; None if that is as before.
        aside: what is wrong with each queue, or shard, that is set aside; None if that is as before.
        paused: what is paused in each queue, or shard, in words; None if that is as before.
    """

    op: ClassVar[Enum] = Op.ALIVE

    away: bool | None = None
    aside: Mapping[str, str] | None = None
    paused: Mapping[str, str] | None = None


@dataclass(frozen=True)
class JanitorReady(ChannelMessage):
    """Reports that the queues exist and the supervisor is registered: from now on, a refusal of Redis is an outage."""

    op: ClassVar[Enum] = Op.READY


@dataclass(frozen=True)
class Unusable(ChannelMessage):
    """Reports that Redis, as it is configured, can never serve this pool."""

    op: ClassVar[Enum] = Op.UNUSABLE

    why: str


@dataclass(frozen=True)
class CancelRunning(ChannelMessage):
    """Reports that the cancel of a message that a worker runs is requested. Sent again while it runs.

    Attributes:
        delivery: the number of its delivery, modulo 65536.
    """

    op: ClassVar[Enum] = Op.CANCEL

    worker: str
    message_id: str
    delivery: int


@dataclass(frozen=True)
class Gauges(ChannelMessage):
    """Reports how many messages wait in all queues, and how many were settled since the queues were created."""

    op: ClassVar[Enum] = Op.GAUGES

    waiting: int
    settled: int


@dataclass(frozen=True)
class QueueLengths(ChannelMessage):
    """Reports, with each report to Redis, how long the queues are.

    Attributes:
        queues: by name: messages that wait, are delayed, are held by workers, dead letters, and the age of the oldest
            waiting message in ms.
        runs: by name: load and mean run time, as RunTimes; only for a pool with a health port.
    """

    op: ClassVar[Enum] = Op.LENGTHS

    queues: Mapping[str, Sequence[int]]
    runs: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Described(ChannelMessage):
    """Reports what the handler's app declares, to the command before the pool starts, and to the janitor afterwards.

    Attributes:
        app: the data of an AppDescription; empty for a plain handler.
    """

    op: ClassVar[Enum] = Op.DESCRIBED

    app: Mapping[str, Any]


@dataclass(frozen=True)
class Ask(ChannelMessage):
    """Passes on what somebody asks of the pool through Redis. The supervisor answers with `Answer`.

    Attributes:
        id: the request's id.
        what, by, worker, message, task, for_s: as in `bizzmq.protocol.pool_request.PoolRequest`.
        void_s: from this moment on it must not be done any more. Monotonic seconds.
    """

    op: ClassVar[Enum] = Op.ASK

    id: str
    what: str
    by: str
    worker: str
    message: str
    task: str
    for_s: str
    void_s: float


@dataclass(frozen=True)
class Answer(ChannelMessage):
    """Answers `Ask`. Sent once: it is lost if the janitor dies.

    Attributes:
        id: the request's id.
        is_done: False if the pool could not do it; then the text says why.
    """

    op: ClassVar[Enum] = Op.ANSWER

    id: str
    is_done: bool
    text: str


@dataclass(frozen=True)
class SlowMessage(ChannelMessage):
    """Reports that a message runs for longer than is usual for its task. Sent again while it runs.

    Attributes:
        delivery: the number of its delivery, modulo 65536.
    """

    op: ClassVar[Enum] = Op.SLOW

    worker: str
    message_id: str
    delivery: int


@dataclass(frozen=True)
class KeepProfile(ChannelMessage):
    """Requests the janitor to store the samples of a slow message. Each has all samples, so a lost one does no harm.

    Attributes:
        profile: as `bizzmq.protocol.profile.KeptProfile` encodes it.
    """

    op: ClassVar[Enum] = Op.PROFILE

    worker: str
    queue: str
    message_id: str
    profile: str


JanitorRequest = Union[Register, Adopt, Requeue, ReleasePrefetched, Described, Answer, KeepProfile, SignOff]
JanitorReply = Union[
    Alive, JanitorReady, Unusable, Registered, Requeued, SignedOff, Gauges, QueueLengths, CancelRunning, Ask,
    SlowMessage,
]  # fmt: skip
TO_JANITOR: Direction[JanitorRequest] = Direction(
    Register, Adopt, Requeue, ReleasePrefetched, Described, Answer, KeepProfile, SignOff
)
FROM_JANITOR: Direction[JanitorReply] = Direction(
    Alive, JanitorReady, Unusable, Registered, Requeued, SignedOff, Gauges, QueueLengths, CancelRunning, Ask,
    SlowMessage,
)  # fmt: skip
