"""Who may work on a queue: registrations, beats, and what becomes of a dead worker's messages."""

from __future__ import annotations

from dataclasses import dataclass

from bizzmq.errors import QueueNotFoundError
from bizzmq.store import Store, grave, pairs


@dataclass(frozen=True)
class Requeued:
    """What became of a dead worker's messages on one queue."""

    requeued: int
    acked: int
    quarantined: str
    crashes: int


@dataclass(frozen=True)
class Death:
    """What is known of a worker that is gone.

    Attributes:
        what: `crash` blames the running message, `failed` settles it as `outcome` says, `stopped` blames nobody,
            `silent` says that nobody knows what ran.
        running: id of the message that it was running, or "".
        last_finished: id of the last message that it finished, or "".
        crash_limit: how many crashes quarantine a message.
        record: the error record that a quarantined message is kept with, JSON.
        outcome: of a `failed` message: `retry`, `dead-letter` or `discard`.
        counted, delay_ms: for a retry, its attempts from now on, and when it is due.
        supervisor, counter: reap only if this supervisor's beat still stands at this counter; "" if known dead.
    """

    what: str
    running: str = ""
    last_finished: str = ""
    crash_limit: int = 3
    record: bytes = b"{}"
    outcome: str = ""
    counted: str = ""
    delay_ms: int = 0
    supervisor: str = ""
    counter: str = ""


def as_text(name: bytes) -> str:
    """A name as Redis has it. What is no UTF-8, and so was written by nobody of us, survives the way back."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(name: str) -> bytes:
    """The way back."""
    return name.encode("utf-8", "surrogateescape")


class Registry(Store):
    """The transitions that begin and end a worker's right to a queue."""

    def requeue(self, queue: str, worker: str, death: Death) -> Requeued | None:
        """Settle what a dead worker held; None if it is not registered or its supervisor lives."""
        k = self.keys(queue)
        held: str | bytes = as_bytes(k.processing(worker))
        own = [k.workers, k.supervisors, held, k.waiting, k.prioritized, k.messages]
        key_names = [*own, k.attempts, k.wake, k.stats, *grave(k), k.delayed, k.releases]
        guard = (as_bytes(death.supervisor), as_bytes(death.counter))
        about = (death.last_finished, death.running, death.what, death.crash_limit, death.record)
        failed = (death.outcome, death.counted, death.delay_ms)
        reply = self.run("requeue", key_names, as_bytes(worker), *guard, *about, *failed)
        if reply[0] != 1:
            return None
        return Requeued(reply[1], reply[2], as_text(reply[3]), reply[4])

    def recall(self, queue: str, worker: str, running: str, delivery: int) -> int:
        """Give back what a worker holds beyond the message that it is running; returns how many.

        Only after the worker was kept from starting any of it. 0 if it does not run that any more, or has no lease.

        Args:
            delivery: the number of this delivery of the running message, modulo 65536.
        """
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake]
        return max(0, int(self.run("recall", key_names, worker, running, delivery)))

    def stored(self, queue: str, message_id: str) -> tuple[bytes | None, bytes | None]:
        """A message's envelope and attempts, as they are stored."""
        k = self.keys(queue)
        envelope = self.connection.execute("HGET", k.messages, message_id)
        return envelope, self.connection.execute("HGET", k.attempts, message_id)

    def register(self, queue: str, supervisor: str, counter: int, worker: str = "") -> None:
        """Let a supervisor, and a worker of it, work on a queue. Raises QueueNotFoundError."""
        k = self.keys(queue)
        if self.run("register", [k.meta, k.supervisors, k.workers], supervisor, counter, worker) == 0:
            raise QueueNotFoundError(queue)

    def beat(self, queue: str, supervisor: str) -> int:
        """Say that a supervisor lives: its new counter, or 0 if it is not registered (any more)."""
        return int(self.run("beat", [self.keys(queue).supervisors], supervisor))

    def evict(self, queue: str, supervisor: str, counter: str = "") -> bool:
        """Strike a supervisor off, if its counter is still this one."""
        return bool(self.run("evict", [self.keys(queue).supervisors], as_bytes(supervisor), as_bytes(counter)))

    def supervisors(self, queue: str) -> dict[str, str]:
        """Supervisor id -> beat counter."""
        flat = self.connection.execute("HGETALL", self.keys(queue).supervisors)
        return {as_text(name): as_text(value) for name, value in pairs(flat)}

    def workers(self, queue: str) -> dict[str, str]:
        """Worker id -> supervisor id."""
        flat = self.connection.execute("HGETALL", self.keys(queue).workers)
        return {as_text(name): as_text(value) for name, value in pairs(flat)}
