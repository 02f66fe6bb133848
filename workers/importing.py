"""How a process of the pool imports the handler: the template, or each worker by itself."""

from __future__ import annotations

from typing import Any

from bizzmq import handler
from bizzmq.workers import ending, library_threads, nested, spawn, working_directory
from bizzmq.workers.config import WorkerConfig


def prepare(config: WorkerConfig) -> None:
    """What has to be so before users' code runs in this process. Nothing of it is the supervisor's."""
    nested.forbid()
    spawn.settle_in()
    ending.begin_anew()
    library_threads.limit(library_threads.share(config.library_threads, config.worker_count))


def load(config: WorkerConfig) -> Any:
    """The handler.

    Raises:
        ConfigurationError, HandlerImportError: as `handler.load`; or the directory is gone.
    """
    if not isinstance(config.handler, str):
        return config.handler
    working_directory.enter(config.directory)
    return handler.load(config.handler)
