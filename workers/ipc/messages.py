"""The messages of all channels between the processes of a pool.

Each message is a class, each direction of a channel has a `Direction` that lists its messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Mapping, Sequence, Union

from bizzmq.middleware.base import WorkerCrash
from bizzmq.workers import exit_codes
from bizzmq.workers.ipc.channel import ChannelMessage, Direction
from bizzmq.workers.ipc.worker_exit import WorkerExit


class Op(Enum):
    """The name of a message in its channel."""

    HELLO = "hello"
    BOOTED = "booted"
    FAILED = "failed"
    RECYCLE = "recycle"
    HOLDING = "holding"
    GO = "go"
    LEAVE = "leave"

    IMPORTED = "imported"
    READY = "ready"
    UNSAFE = "unsafe"
    SPAWN = "spawn"
    SPAWNED = "spawned"

    REGISTER = "register"
    REGISTERED = "registered"
    ADOPT = "adopt"
    REQUEUE = "requeue"
    REQUEUED = "requeued"
    RECALL = "recall"
    LEFT = "left"
    ALIVE = "alive"
    UNUSABLE = "unusable"
    GAUGES = "gauges"
    DESCRIBED = "described"

    CHANGED = "changed"


@dataclass(frozen=True)
class Hello(ChannelMessage):
    """Reports a worker's process."""

    op: ClassVar[Enum] = Op.HELLO

    pid: int


@dataclass(frozen=True)
class Booted(ChannelMessage):
    """Reports that a worker has imported its handler and waits for `Go`.

    Attributes:
        app: what the handler's app declares, as for `Described`; None for a plain handler, and if a template knows it.
    """

    op: ClassVar[Enum] = Op.BOOTED

    app: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class BootFailure(ChannelMessage):
    """Reports why no worker can start. The supervisor also keeps its own failures in this form.

    Attributes:
        error: one line.
        traceback: the user's traceback, if the import of the handler raised.
        code: the exit code of the pool.
    """

    op: ClassVar[Enum] = Op.FAILED

    error: str
    traceback: str = ""
    code: int = exit_codes.CANNOT_BOOT


@dataclass(frozen=True)
class Recycle(ChannelMessage):
    """Requests a replacement for the worker that sends it.

    Attributes:
        spent: a limit was raised in its handler; else it has handled its number of messages.
    """

    op: ClassVar[Enum] = Op.RECYCLE

    spent: bool


@dataclass(frozen=True)
class HoldsSeveral(ChannelMessage):
    """Reports that a worker holds more messages than it runs, while the supervisor does not watch."""

    op: ClassVar[Enum] = Op.HOLDING


@dataclass(frozen=True)
class Go(ChannelMessage):
    """Lets a worker claim: it is registered.

    Attributes:
        without: the queues, or shards, on which it could not be registered yet.
        crashes: the workers that have died and that no other worker has been told about.
    """

    op: ClassVar[Enum] = Op.GO

    without: Sequence[str]
    crashes: Sequence[WorkerCrash] = ()

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Go:
        return cls(fields["without"], tuple(WorkerCrash(**crash) for crash in fields["crashes"]))


@dataclass(frozen=True)
class Leave(ChannelMessage):
    """Requests a worker to finish what it runs and to exit."""

    op: ClassVar[Enum] = Op.LEAVE


@dataclass(frozen=True)
class Imported(ChannelMessage):
    """Reports that the template has imported the handler, and now inspects what the import has left."""

    op: ClassVar[Enum] = Op.IMPORTED


@dataclass(frozen=True)
class TemplateReady(ChannelMessage):
    """Reports that the template can fork workers.

    Attributes:
        danger: what forked workers may not survive; accepted by `--preload on`. "" if there is nothing.
        renewed: the random number generators that each worker seeds anew.
        keeps: the import has left temporary files or children that end with the template.
        has_threads: the import has left threads.
        app: what the handler's app declares, as for `Described`; None for a plain handler.
    """

    op: ClassVar[Enum] = Op.READY

    pid: int
    danger: str
    renewed: str
    keeps: bool
    has_threads: bool
    app: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Unsafe(ChannelMessage):
    """Reports that the import has left something that a fork breaks: each worker has to import by itself."""

    op: ClassVar[Enum] = Op.UNSAFE

    why: str


@dataclass(frozen=True)
class Spawn(ChannelMessage):
    """Requests the template to fork a worker. The worker's end of its channel comes with the message."""

    op: ClassVar[Enum] = Op.SPAWN

    worker: str
    slot: int


@dataclass(frozen=True)
class Spawned(ChannelMessage):
    """Reports a worker that the template has forked, or why it could not: then `pid` is 0."""

    op: ClassVar[Enum] = Op.SPAWNED

    worker: str
    pid: int
    error: str


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
    """

    op: ClassVar[Enum] = Op.ALIVE

    away: bool | None = None
    aside: Mapping[str, str] | None = None


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
class Gauges(ChannelMessage):
    """Reports how many messages wait in all queues, and how many were settled since the queues were created."""

    op: ClassVar[Enum] = Op.GAUGES

    waiting: int
    settled: int


@dataclass(frozen=True)
class Described(ChannelMessage):
    """Reports what the handler's app declares, to the command before the pool starts, and to the janitor afterwards.

    Attributes:
        app: the data of an AppDescription; empty for a plain handler.
    """

    op: ClassVar[Enum] = Op.DESCRIBED

    app: Mapping[str, Any]


@dataclass(frozen=True)
class FilesChanged(ChannelMessage):
    """Reports changed source files."""

    op: ClassVar[Enum] = Op.CHANGED

    files: Sequence[str]


FROM_WORKER: Direction[Union[Hello, Booted, BootFailure, Recycle, HoldsSeveral]] = Direction(
    Hello, Booted, BootFailure, Recycle, HoldsSeveral
)
TO_WORKER: Direction[Union[Go, Leave]] = Direction(Go, Leave)
FROM_TEMPLATE: Direction[Union[Imported, TemplateReady, BootFailure, Unsafe, Spawned]] = Direction(
    Imported, TemplateReady, BootFailure, Unsafe, Spawned
)
TO_TEMPLATE: Direction[Spawn] = Direction(Spawn)

JanitorRequest = Union[Register, Adopt, Requeue, ReleasePrefetched, Described, SignOff]
JanitorReply = Union[Alive, JanitorReady, Unusable, Registered, Requeued, SignedOff, Gauges]
TO_JANITOR: Direction[JanitorRequest] = Direction(Register, Adopt, Requeue, ReleasePrefetched, Described, SignOff)
FROM_JANITOR: Direction[JanitorReply] = Direction(
    Alive, JanitorReady, Unusable, Registered, Requeued, SignedOff, Gauges
)

FROM_RELOADER: Direction[FilesChanged] = Direction(FilesChanged)
TO_RELOADER: Direction[ChannelMessage] = Direction()
