"""Workers: register supervisors and workers, and requeue the messages of dead ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Mapping, NamedTuple

from bizzmq.broker.message_calls import dead_letter_keys
from bizzmq.broker.operations import Call
from bizzmq.broker.replies import as_bytes, as_text, pairs
from bizzmq.broker.results import kept_arguments, result_key
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import KeptResult


@dataclass(frozen=True)
class Requeued:
    """Numbers of requeued and acked messages of a dead worker on one queue.

    Attributes:
        quarantined: id of the message that is quarantined, or "".
        crashes: crash count of the message that was running, or 0.
    """

    requeued: int
    acked: int
    quarantined: str
    crashes: int


class DeathKind(str, Enum):
    """How a worker ended, which decides the fate of its running message. The values go to the script."""

    CRASH = "crash"
    FAILED = "failed"
    STOPPED = "stopped"
    SILENT = "silent"


@dataclass(frozen=True)
class DeadWorker:
    """Facts about the end of a worker.

    Attributes:
        what: `crash` blames the running message, `failed` settles it as `outcome` says, `stopped` blames no message,
            `silent` says that the running message is unknown.
        running: id of the message that it was running, or "".
        last_finished: id of the last message that it finished, or "".
        crash_limit: number of crashes that quarantines a message.
        record: error record of a quarantined message, JSON.
        outcome: of a `failed` message: `retry`, `dead-letter`, `discard` or `cancel`.
        attempts_after, delay_ms: for a retry, its new attempts and its delay.
        results: by id, of the finished messages that keep one.
        supervisor, counter: requeue only if this supervisor's beat counter is still `counter`; "" if known dead.
    """

    what: DeathKind
    running: str = ""
    last_finished: str = ""
    crash_limit: int = 3
    record: bytes = b"{}"
    outcome: str = ""
    attempts_after: str = ""
    delay_ms: int = 0
    supervisor: str = ""
    counter: str = ""
    results: Mapping[str, KeptResult] = field(default_factory=dict)


class Heartbeat(NamedTuple):
    """Result of a heartbeat.

    Attributes:
        counter: the new beat counter; 0 if the supervisor is not registered.
        has_schedules: whether the queue has schedules.
    """

    counter: int
    has_schedules: bool


class Workers:
    """Transitions that begin and end a worker's right to a queue."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def register(self, queue: str, supervisor: str, worker: str = "") -> None:
        """Let a supervisor, and one of its workers, work on a queue. Raises QueueNotFoundError."""
        call = register_call(self._keys(queue), supervisor, worker)
        register_result(self._run("register", call), queue)

    def heartbeat(self, queue: str, supervisor: str) -> Heartbeat:
        """Show that a supervisor is alive."""
        return heartbeat_result(self._run("heartbeat", heartbeat_call(self._keys(queue), supervisor)))

    def report(self, queue: str, supervisor: str, report: bytes, expires_ms: int) -> bool:
        """Note what a supervisor's pool does, for people. Returns False if the supervisor is not registered.

        Args:
            report: as `PoolReport.encode` writes it.
        """
        return report_result(self._run("report", report_call(self._keys(queue), supervisor, report, expires_ms)))

    def unregister(self, queue: str, supervisor: str, counter: str = "") -> bool:
        """Remove a supervisor, if its beat counter is still `counter` ("" for no condition)."""
        call = unregister_call(self._keys(queue), supervisor, counter)
        return unregister_result(self._run("unregister", call))

    def requeue(self, queue: str, worker: str, death: DeadWorker) -> Requeued | None:
        """Settle the messages of a dead worker. Returns None if it is not registered or its supervisor is alive."""
        return requeue_result(self._run("requeue", requeue_call(self._keys(queue), worker, death)))

    def release_prefetched(self, queue: str, worker: str, running: str, delivery: int) -> int:
        """Return the messages that a worker has claimed and not started. Returns how many.

        The caller first makes sure that the worker starts none of them. Returns 0 if the worker does not run this
        delivery any more, or has no lease.

        Args:
            delivery: number of this delivery of the running message, modulo 65536.
        """
        call = release_prefetched_call(self._keys(queue), worker, running, delivery)
        return release_prefetched_result(self._run("release_prefetched", call))

    def supervisors(self, queue: str) -> dict[str, str]:
        """Supervisor id -> beat counter."""
        return self._texts(self._keys(queue).supervisors)

    def workers(self, queue: str) -> dict[str, str]:
        """Worker id -> supervisor id."""
        return self._texts(self._keys(queue).workers)

    def _texts(self, key: str) -> dict[str, str]:
        flat = self._connection.execute("HGETALL", key)
        return {as_text(name): as_text(value) for name, value in pairs(flat)}


def register_call(k: QueueKeys, supervisor: str, worker: str) -> Call:
    return [k.meta, k.supervisors, k.workers], [supervisor, worker]


def register_result(reply: Any, queue: str) -> None:
    """Raises QueueNotFoundError."""
    if reply == 0:
        raise QueueNotFoundError(queue)


def heartbeat_call(k: QueueKeys, supervisor: str) -> Call:
    return [k.supervisors], [supervisor]


def heartbeat_result(reply: Any) -> Heartbeat:
    counter, has_schedules = reply
    return Heartbeat(int(counter), bool(has_schedules))


def report_call(k: QueueKeys, supervisor: str, report: bytes, expires_ms: int) -> Call:
    return [k.supervisors], [supervisor, report, expires_ms]


def report_result(reply: Any) -> bool:
    """Whether the supervisor is registered."""
    return bool(reply == 1)


def unregister_call(k: QueueKeys, supervisor: str, counter: str) -> Call:
    return [k.supervisors], [as_bytes(supervisor), as_bytes(counter)]


def unregister_result(reply: Any) -> bool:
    """Whether the supervisor was removed."""
    return bool(reply)


def requeue_call(k: QueueKeys, worker: str, death: DeadWorker) -> Call:
    own = [k.workers, k.supervisors, as_bytes(k.processing(worker)), k.waiting, k.prioritized, k.messages]
    guard = (as_bytes(death.supervisor), as_bytes(death.counter))
    about = (death.last_finished, death.running, death.what, death.crash_limit, death.record)
    failed = (death.outcome, death.attempts_after, death.delay_ms)
    key_names = [*own, k.attempts, k.wake, k.stats, *dead_letter_keys(k), k.delayed, k.releases]
    result_keys, results = kept_arguments(k, death.results)
    key_names += [result_key(k, death.running), *result_keys]
    return key_names, [as_bytes(worker), *guard, *about, *failed, *results]


def requeue_result(reply: Any) -> Requeued | None:
    """None if the worker is not registered or its supervisor is alive."""
    if reply[0] != 1:
        return None
    return Requeued(reply[1], reply[2], as_text(reply[3]), reply[4])


def release_prefetched_call(k: QueueKeys, worker: str, running: str, delivery: int) -> Call:
    key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake]
    return key_names, [worker, running, delivery]


def release_prefetched_result(reply: Any) -> int:
    """Number of released messages."""
    return max(0, int(reply))
