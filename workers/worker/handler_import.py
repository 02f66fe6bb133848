"""Importing the handler, in the template or in each worker."""

from __future__ import annotations

import traceback
from typing import Any, Mapping, Optional

import psutil

from bizzmq.consumer.handlers import handler
from bizzmq.consumer.handlers import loader as handler_loader
from bizzmq.consumer.handlers.task_dispatcher import TaskDispatcher
from bizzmq.errors import ConfigurationError
from bizzmq.utils import logs
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.process import fork, library_threads, nested_pool, working_directory
from bizzmq.workers.process.usage import MEGABYTE, RSS, memory_reader
from bizzmq.workers.worker import orderly_exit


def prepare(config: WorkerConfig) -> None:
    """Prepare this process for the user's code. Called in the template and in workers, never in the supervisor."""
    nested_pool.forbid()
    logs.survive_handlers()
    fork.detach_from_terminal()
    orderly_exit.discard_inherited()
    library_threads.set_variables(library_threads.threads_per_worker(config.library_threads, config.worker_count))


def load(config: WorkerConfig, *, for_pool: bool = True) -> Any:
    """Import the handler.

    Args:
        for_pool: the handler is to run in the pool of this configuration, and not only looked at.

    Raises:
        ConfigurationError, HandlerImportError: as `handler_loader.load`; or the working directory no longer exists, or
            a plain handler has become an app.
    """
    if isinstance(config.handler, str):
        working_directory.enter(config.directory)
        function: Any = handler_loader.load(config.handler)
    else:
        function = handler_loader.handler_of(config.handler)
    if for_pool and isinstance(function, TaskDispatcher):
        if config.description is None:
            raise ConfigurationError(f"{config.handler} has become an app since the pool started: restart the pool")
        function.serve(config.redis_url, config.unknown_task_limit_s)
    return function


def description_of(function: Any) -> Optional[Mapping[str, Any]]:
    """What an app declares, as the data of an AppDescription; None for a plain handler."""
    return function.describe() if isinstance(function, TaskDispatcher) else None


def memory_problem(config: WorkerConfig) -> str | None:
    """Why a worker would exceed a memory limit before its first message; None if it would not.

    Measures this process, which has imported the handler and has not run it yet. Checks RSS only: by PSS, a worker is
    smaller than the process that it is forked from.
    """
    limit_mb, option = config.kill_memory_mb, "kill_memory_mb"
    if config.max_memory_mb:
        limit_mb, option = config.max_memory_mb, "max_memory_mb"  # the lower of the two
    if not limit_mb or config.memory_metric != RSS:
        return None
    here_mb = memory_reader(RSS)(psutil.Process()) / MEGABYTE
    if here_mb < limit_mb:
        return None
    return f"{option} is {limit_mb:g}, but a process has {here_mb:.0f} MB once the handler is imported: raise it"


def boot_failure_of(error: Exception) -> BootFailure:
    """A failure to import the handler, as the supervisor reports it."""
    cause = error.__cause__
    if isinstance(cause, nested_pool.NestedPoolError):
        return BootFailure(f"{error}: {cause}", code=exit_codes.USAGE)
    if not isinstance(error, handler_loader.HandlerImportError) or cause is None:
        return BootFailure(str(error))
    lines = traceback.format_exception(type(cause), cause, handler.from_user(cause.__traceback__))
    return BootFailure(f"{error}: {type(cause).__name__}: {cause}", "".join(lines))
