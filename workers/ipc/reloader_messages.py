"""The messages of the reloader to the supervisor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Sequence

from bizzmq.workers.ipc.channel import ChannelMessage, Direction
from bizzmq.workers.ipc.op import Op


@dataclass(frozen=True)
class FilesChanged(ChannelMessage):
    """Reports changed source files."""

    op: ClassVar[Enum] = Op.CHANGED

    files: Sequence[str]


FROM_RELOADER: Direction[FilesChanged] = Direction(FilesChanged)
TO_RELOADER: Direction[ChannelMessage] = Direction()
