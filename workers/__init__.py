"""The worker pool: a supervisor and the processes that it forks. Imported as `bizzmq.workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if __name__ != "bizzmq.workers":
    raise ImportError(f"import this package as bizzmq.workers, not as {__name__}")

if TYPE_CHECKING:
    from bizzmq.workers.config import WorkerConfig
    from bizzmq.workers.supervisor.supervisor import Supervisor

__all__ = ["Supervisor", "WorkerConfig"]


def __getattr__(name: str) -> Any:
    """Import the published names when they are used: a command that asks a pool for its state needs no supervisor."""
    if name == "WorkerConfig":
        from bizzmq.workers.config import WorkerConfig  # noqa: PLC0415 - see above

        return WorkerConfig
    if name == "Supervisor":
        from bizzmq.workers.supervisor.supervisor import Supervisor  # noqa: PLC0415 - see above

        return Supervisor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
