"""What the tools for tests need of an app."""

from __future__ import annotations

from typing import Any, Mapping, Protocol, Sequence

from bizzmq.app.dispatcher import Dispatcher
from bizzmq.app.task import Task
from bizzmq.client import BizzMQ
from bizzmq.queue import QueueOptions


class AppInTest(Protocol):
    """An app; see `App`."""

    @property
    def tasks(self) -> Mapping[str, Task[Any, Any]]: ...

    @property
    def queues(self) -> Mapping[str, QueueOptions | None]: ...

    @property
    def middleware(self) -> Sequence[Any]: ...

    @property
    def client(self) -> BizzMQ: ...

    def create_queue(self, queue: str) -> bool: ...

    def dispatcher(self) -> Dispatcher: ...
