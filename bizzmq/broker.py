"""One method per transition. Whoever calls has retries and logging; here is only what Redis is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence

from bizzmq import keys, scripts
from bizzmq.connection import Connection, NoScriptError
from bizzmq.errors import BrokerReplyError, LeaseLostError, QueueNotFoundError
from bizzmq.keys import QueueKeys
from bizzmq.queue import QueueOptions

BATCH_LIMIT = 100
"""Messages that one script may touch, so that no script holds Redis for more than a few milliseconds."""


@dataclass(frozen=True)
class Claimed:
    """What a claim returned: everything that the worker holds now, oldest first.

    Attributes:
        entries: (id, envelope, attempts or None) each.
        due_s: seconds until a delayed message is due; None if there is none. Only for no entries.
    """

    entries: Sequence[tuple[bytes, bytes, bytes | None]]
    due_s: float | None = None


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
        what: `crash` blames the running message, `stopped` nobody, `silent` says that nobody knows.
        running: id of the message that it was running, or "".
        last_finished: id of the last message that it finished, or "".
        crash_limit: how many crashes quarantine a message.
        record: the error record that a quarantined message is kept with, JSON.
        supervisor, counter: reap only if this supervisor's beat still stands at this counter; "" if known dead.
    """

    what: str
    running: str = ""
    last_finished: str = ""
    crash_limit: int = 3
    record: bytes = b"{}"
    supervisor: str = ""
    counter: str = ""


class Broker:
    """The transitions of all queues over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._keys: dict[str, QueueKeys] = {}
        self._whole_seconds = False  # Redis 5 blocks for whole seconds only

    def keys(self, queue: str) -> QueueKeys:
        """The queue's key names. Raises ConfigurationError for a bad name."""
        found = self._keys.get(queue)
        if found is None:
            found = self._keys[queue] = QueueKeys(queue)
        return found

    def run(self, name: str, key_names: Sequence[str], *args: Any) -> Any:
        """Run a script by its digest, or by its text if Redis has forgotten it."""
        script = scripts.load(name)
        try:
            return self.connection.execute("EVALSHA", script.digest, len(key_names), *key_names, *args)
        except NoScriptError:
            return self.connection.execute("EVAL", script.source, len(key_names), *key_names, *args)

    def ping(self) -> None:
        self.connection.execute("PING")

    def time(self) -> tuple[int, int]:
        """Redis's clock: seconds since the epoch and microseconds."""
        seconds, micros = self.connection.execute("TIME")
        return int(seconds), int(micros)

    def create(self, queue: str, options: QueueOptions) -> bool:
        """Create a queue; False if it existed."""
        own = self.keys(queue)
        dead = own.dead_letters()
        wants_dead = options.config_dead_letter_queue and not own.is_dead_letter_queue
        fields = [part for pair in options.to_meta().items() for part in pair]
        created = self.run("create", [own.meta, dead.meta], int(wants_dead), *fields) == 1
        self.connection.execute("SADD", keys.INDEX, queue, *([dead.queue] if wants_dead else []))
        return created

    def options(self, queue: str) -> QueueOptions:
        """The options that a queue was created with. Raises QueueNotFoundError."""
        flat = self.connection.execute("HGETALL", self.keys(queue).meta)
        if not flat:
            raise QueueNotFoundError(queue)
        return QueueOptions.from_meta({name.decode(): value.decode() for name, value in pairs(flat)})

    def publish(
        self, queue: str, publisher: str, request: int, delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Publish at most BATCH_LIMIT messages; `entries` alternates ids and envelopes.

        Raises:
            QueueNotFoundError: nothing was published.
        """
        k = self.keys(queue)
        key_names = [k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats]
        reply = self.run("publish", [*key_names, k.publisher(publisher)], request, delay_ms, priority, *entries)
        if reply == -1:
            raise QueueNotFoundError(queue)

    def claim(self, queue: str, worker: str, want: int, finished: Sequence[Any] = ()) -> Claimed:
        """Ack what is finished (oldest first), then hold up to `want` messages and return all that are held."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed]
        reply = self.run(
            "claim", [*key_names, k.messages, k.attempts, k.wake, k.stats], worker, want, *finished
        )
        status = reply[0]
        if status == -1:
            raise LeaseLostError(queue, worker)
        if status == 0:
            return Claimed((), None if reply[1] < 0 else reply[1] / 1000)
        _, ids, envelopes, attempts = reply
        counts = attempts or [None] * len(ids)
        return Claimed(list(zip(reversed(ids), reversed(envelopes), reversed(counts))))

    def retry(self, queue: str, worker: str, message_id: str, seen: str, counted: str, delay_ms: int) -> bool:
        """Put a failed message back; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed]
        reply = self.run(
            "retry", [*key_names, k.attempts, k.wake, k.stats], worker, message_id, seen, counted, delay_ms
        )
        return self._owned(reply, queue, worker) == 1

    def dead_letter(self, queue: str, worker: str, message_id: str | bytes, seen: str | bytes, record: bytes) -> bool:
        """Keep a message in the dead-letter queue; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats, *_grave(k)]
        reply = self.run("dead_letter", key_names, worker, message_id, seen, record)
        self.connection.execute("SADD", keys.INDEX, k.dead_letters().queue)
        return self._owned(reply, queue, worker) == 1

    def discard(self, queue: str, worker: str, message_id: str, seen: str) -> bool:
        """Forget a message that is not to be tried again; False if that was done before."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats]
        return self._owned(self.run("discard", key_names, worker, message_id, seen), queue, worker) == 1

    def release(self, queue: str, worker: str, message_ids: Sequence[Any]) -> int:
        """Give back unstarted messages (newest first); returns how many."""
        k = self.keys(queue)
        key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake]
        return self._owned(self.run("release", key_names, worker, *message_ids), queue, worker)

    def requeue(self, queue: str, worker: str, death: Death) -> Requeued | None:
        """Settle what a dead worker held; None if it is not registered or its supervisor lives."""
        k = self.keys(queue)
        own = [k.workers, k.supervisors, k.processing(worker), k.waiting, k.prioritized, k.messages]
        key_names = [*own, k.attempts, k.wake, k.stats, *_grave(k)]
        guard = (death.supervisor, death.counter)
        about = (death.last_finished, death.running, death.what, death.crash_limit, death.record)
        reply = self.run("requeue", key_names, worker, *guard, *about)
        if reply[0] != 1:
            return None
        if reply[3]:
            self.connection.execute("SADD", keys.INDEX, k.dead_letters().queue)
        return Requeued(reply[1], reply[2], reply[3].decode(), reply[4])

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
        return bool(self.run("evict", [self.keys(queue).supervisors], supervisor, counter))

    def supervisors(self, queue: str) -> dict[str, str]:
        """Supervisor id -> beat counter."""
        flat = self.connection.execute("HGETALL", self.keys(queue).supervisors)
        return {name.decode(): value.decode() for name, value in pairs(flat)}

    def workers(self, queue: str) -> dict[str, str]:
        """Worker id -> supervisor id."""
        flat = self.connection.execute("HGETALL", self.keys(queue).workers)
        return {name.decode(): value.decode() for name, value in pairs(flat)}

    def outstanding(self, queue: str) -> int:
        """How many messages are not finished yet: waiting, delayed or being handled by anybody."""
        k = self.keys(queue)
        return int(self.connection.execute("HLEN", k.messages)) - int(self.connection.execute("LLEN", k.parked))

    def block(self, queues: Sequence[str], timeout_s: float) -> float:
        """Ask to be told when there may be something to claim; the reply comes within the returned seconds.

        No message travels with this command, so losing its reply costs time only.
        """
        timeout: float = math.ceil(max(timeout_s, 0.01) * 1000) / 1000
        if self._whole_seconds or timeout == int(timeout):
            timeout = max(1, math.ceil(timeout))
        wakes = [self.keys(queue).wake for queue in queues]
        self.connection.send(self.connection.pack("BZPOPMIN", *wakes, timeout))
        return timeout

    def woken(self) -> None:
        """Read the reply to `block`."""
        try:
            self.connection.read()
        except BrokerReplyError as error:
            if "timeout is not an integer" not in str(error):
                raise
            self._whole_seconds = True

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands, run in one step."""
        connection = self.connection
        packed = [connection.pack(*command) for command in (("MULTI",), *commands, ("EXEC",))]
        connection.send([chunk for parts in packed for chunk in parts])
        for _ in range(len(commands) + 1):
            connection.read()
        replies: list[Any] = connection.read()
        return replies

    @staticmethod
    def _owned(reply: Any, queue: str, worker: str) -> int:
        """Every refusal to a worker without a lease becomes one exception, here."""
        if reply == -1:
            raise LeaseLostError(queue, worker)
        return int(reply)


def _grave(k: QueueKeys) -> list[str]:
    """The keys that a message is buried with: in the dead-letter queue, or parked where it is."""
    dead = k.dead_letters()
    place = k.parked if k.is_dead_letter_queue else dead.waiting
    return [place, dead.messages, dead.meta, dead.wake]


def pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of a hash, as HGETALL replies."""
    return list(zip(flat[::2], flat[1::2]))
