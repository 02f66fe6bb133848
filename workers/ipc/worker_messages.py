"""The messages between the supervisor and a worker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Mapping, Sequence, Union

from bizzmq.middleware.base import WorkerCrash
from bizzmq.workers import exit_codes
from bizzmq.workers.ipc.channel import ChannelMessage, Direction
from bizzmq.workers.ipc.op import Op


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


FROM_WORKER: Direction[Union[Hello, Booted, BootFailure, Recycle, HoldsSeveral]] = Direction(
    Hello, Booted, BootFailure, Recycle, HoldsSeveral
)
TO_WORKER: Direction[Union[Go, Leave]] = Direction(Go, Leave)
