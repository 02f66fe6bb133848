"""The worker pool: a supervisor and the processes that it forks. Imported as `bizzmq.workers`."""

if __name__ != "bizzmq.workers":
    raise ImportError(f"this is bizzmq.workers; it does not work under the name {__name__!r}")

from bizzmq.interrupts import QuietImports

with QuietImports():
    from bizzmq.workers.config import WorkerConfig
    from bizzmq.workers.supervisor import Supervisor

__all__ = ["Supervisor", "WorkerConfig"]
