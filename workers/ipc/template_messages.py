"""The messages between the supervisor and the template, which forks workers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Mapping, Union

from bizzmq.workers.ipc.channel import ChannelMessage, Direction
from bizzmq.workers.ipc.op import Op
from bizzmq.workers.ipc.worker_messages import BootFailure


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


FROM_TEMPLATE: Direction[Union[Imported, TemplateReady, BootFailure, Unsafe, Spawned]] = Direction(
    Imported, TemplateReady, BootFailure, Unsafe, Spawned
)
TO_TEMPLATE: Direction[Spawn] = Direction(Spawn)
