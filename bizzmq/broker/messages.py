"""Messages: publish, claim and settle them, and wait for new ones."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import check_lease
from bizzmq.broker.results import result_key
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.connection.error_mapping import NoScriptError
from bizzmq.errors import BrokerReplyError, LeaseLostError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys

BATCH_LIMIT = 100
"""Messages in one script call at most, so that no script blocks Redis for more than a few milliseconds."""


class Claimed(NamedTuple):
    """Result of a claim: all messages that the worker holds now, oldest first.

    Attributes:
        entries: (id, envelope, attempts or None) of each message.
        due_s: seconds until a delayed message is due, or None without one. Only set if there are no entries.
    """

    entries: Sequence[tuple[bytes, bytes, bytes | None]]
    due_s: float | None = None


class Messages:
    """Transitions of messages."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run, self._command = runner.keys, runner.run, runner.command
        self._connection = runner.connection
        self._claims: dict[tuple[str, str], tuple[Any, ...]] = {}  # the most frequent command is made only once
        self._whole_seconds = False  # Redis 5 blocks for whole seconds only

    def publish(
        self, queue: str, publisher: str, request: int, delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Publish some messages at once. `entries` alternates ids and envelopes.

        Raises:
            QueueNotFoundError: nothing was published.
            BrokerReplyError: the publisher's number in Redis is forged. The messages may be published or not.
        """
        call = publish_call(self._keys(queue), publisher, request, 0, delay_ms, priority, entries)
        publish_result(self._run("publish", call), queue, call)

    def send_publish(
        self, queue: str, publisher: str, numbers: tuple[int, int], delay_ms: int, priority: int, entries: Sequence[Any]
    ) -> None:
        """Send a publish without a wait for its reply.

        Args:
            numbers: the number of this request, and that of an earlier one whose reply is unread and which must be
                executed first, or 0.
        """
        key_names, args = publish_call(self._keys(queue), publisher, *numbers, delay_ms, priority, entries)
        connection = self._connection.at(key_names[0])
        send = connection.send_more if numbers[1] else connection.send
        send((*self._command("publish", key_names), *args))

    def has_published(self, queue: str) -> bool:
        """Read the reply to the first unread `send_publish`. Returns False if Redis did not execute it."""
        return int(self._connection.at(self._keys(queue).meta).read()) >= 0

    def claim(self, queue: str, worker: str, want: int, finished: Sequence[Any] = ()) -> Claimed:
        """Ack finished messages (oldest first), then hold up to `want` messages. Returns all held messages.

        Raises:
            LeaseLostError: the worker is not registered.
        """
        command = self._claims.get((queue, worker)) or self._claim_command(queue, worker)
        try:
            reply = self._connection.execute_plain((*command, f"{want}", *finished))
        except NoScriptError:
            reply = self._run("claim", claim_call(self._keys(queue), worker, want, finished))
        return claim_result(reply, queue, worker)

    def _claim_command(self, queue: str, worker: str) -> tuple[Any, ...]:
        key_names, _ = claim_call(self._keys(queue), worker, 0, ())
        command = self._claims[queue, worker] = (*self._command("claim", key_names), worker)
        return command

    def retry(
        self, queue: str, worker: str, message_id: str, attempts_before: str, attempts_after: str, delay_ms: int,
        *, is_failure: bool = True,
    ) -> bool:  # fmt: skip
        """Return a failed message to its queue. Returns False if that is already done. Raises LeaseLostError.

        Args:
            is_failure: whether it counts as retried; else as requeued.
        """
        total = "retried" if is_failure else "requeued"
        call = retry_call(self._keys(queue), worker, message_id, attempts_before, attempts_after, delay_ms, total)
        return retry_result(self._run("retry", call), queue, worker)

    def dead_letter(
        self, queue: str, worker: str, message_id: str | bytes, attempts_before: str | bytes, record: bytes
    ) -> bool:
        """Move a message to the dead-letter queue. Returns False if that is already done. Raises LeaseLostError."""
        call = dead_letter_call(self._keys(queue), worker, message_id, attempts_before, record)
        return dead_letter_result(self._run("dead_letter", call), queue, worker)

    def discard(self, queue: str, worker: str, message_id: str, attempts_before: str, record: bytes = b"{}") -> bool:
        """Delete a message that is not retried. Returns False if that is already done. Raises LeaseLostError."""
        call = discard_call(self._keys(queue), worker, message_id, attempts_before, record)
        return discard_result(self._run("discard", call), queue, worker)

    def release(
        self, queue: str, worker: str, number: int, message_ids: Sequence[Any], *, started: bool = False
    ) -> int:
        """Return messages (newest first) to the head of the queue without blame. Returns how many, 0 if already done.

        Args:
            number: higher than that of the worker's last release, and equal if this one is sent again.

        Raises:
            LeaseLostError: the worker is not registered.
        """
        call = release_call(self._keys(queue), worker, number, message_ids, started=started)
        return release_result(self._run("release", call), queue, worker)

    def replay(self, queue: str, message_id: str, priority: int) -> bool:
        """Return a dead letter to its original queue. Returns False if it is not there.

        Args:
            queue: a queue, its dead-letter queue, or the shard of one that has the dead letter.

        Raises:
            QueueNotFoundError: the original queue does not exist.
        """
        dead = self._keys(queue).dead_letters()
        k = self._keys(dead.owner)
        return replay_result(self._run("replay", replay_call(k, message_id, priority)), k.queue)

    def delete(self, queue: str, place: str, message_ids: Sequence[bytes]) -> int:
        """Delete messages (at most 100) from `prioritized` or `delayed`, the key `place`. Returns how many."""
        if not message_ids:
            return 0
        return delete_result(self._run("delete", delete_call(self._keys(queue), place, message_ids)))

    def delete_message(self, queue: str, message_id: str) -> bool | None:
        """Delete a message that no worker holds. Returns False if it is not stored, None if a worker holds it."""
        call = delete_message_call(self._keys(queue), message_id)
        return delete_message_result(self._run("delete_message", call))

    def stored(self, queue: str, message_id: str) -> tuple[bytes | None, bytes | None]:
        """Envelope and attempts of a message as stored."""
        k = self._keys(queue)
        envelope = self._connection.execute("HGET", k.messages, message_id)
        return envelope, self._connection.execute("HGET", k.attempts, message_id)

    def outstanding(self, queue: str) -> int:
        """Number of unfinished messages: waiting, delayed, or held by any worker."""
        k = self._keys(queue)
        return int(self._connection.execute("HLEN", k.messages)) - int(self._connection.execute("LLEN", k.parked))

    def delayed(self, queue: str, start: int, limit: int) -> list[tuple[bytes, bytes | None]]:
        """Some delayed messages, in the order in which they are due: id and envelope of each.

        Args:
            start: how many to skip.
        """
        k = self._keys(queue)
        ids = self._connection.execute("ZRANGE", k.delayed, start, start + limit - 1)
        return list(zip(ids, self._connection.execute("HMGET", k.messages, *ids))) if ids else []

    def block(self, queues: Sequence[str], timeout_s: float) -> float:
        """Ask Redis to reply when a message may be claimed. The reply comes within the returned number of seconds.

        The reply carries no message, so its loss costs only time.
        """
        timeout: float = math.ceil(max(min(timeout_s, self._connection.longest_block_s), 0.01) * 1000) / 1000
        if self._whole_seconds or timeout == int(timeout):
            timeout = max(1, math.ceil(timeout))
        self._connection.block([self._keys(queue).wake for queue in queues], timeout)
        return timeout + self._connection.reply_s

    def woken(self) -> None:
        """Read the reply to `block`."""
        try:
            self._connection.unblocked()
        except BrokerReplyError as error:
            if "timeout is not an integer" not in str(error):
                raise
            self._whole_seconds = True


def publish_call(
    k: QueueKeys, publisher: str, number: int, before: int, delay_ms: int, priority: int, entries: Sequence[Any]
) -> Call:
    return (
        (k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.wake, k.stats, k.publisher(publisher)),
        [f"{number}", f"{before}", f"{delay_ms}", f"{priority}", *entries],
    )


def publish_result(reply: Any, queue: str, call: Call) -> None:
    """Raises QueueNotFoundError, BrokerReplyError."""
    if reply >= 0:
        return
    if reply == -1:
        raise QueueNotFoundError(queue)
    raise BrokerReplyError(
        f"another client has written to {call[0][-1]}, so Redis cannot tell whether these messages are stored: "
        "publish them again if duplicates are better than losses"
    )


def claim_call(k: QueueKeys, worker: str, want: int, finished: Sequence[Any]) -> Call:
    own = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed]
    return [*own, k.messages, k.attempts, k.wake, k.stats], [worker, f"{want}", *finished]


def claim_result(reply: Any, queue: str, worker: str) -> Claimed:
    """Raises LeaseLostError."""
    status = reply[0]
    if status == 1:
        _, ids, envelopes, attempts = reply
        if len(ids) == 1:
            return Claimed([(ids[0], envelopes[0], attempts[0] if attempts else None)])
        counts = attempts or [None] * len(ids)
        return Claimed(list(zip(reversed(ids), reversed(envelopes), reversed(counts))))
    if status == 0:
        return Claimed((), None if reply[1] < 0 else reply[1] / 1000)
    raise LeaseLostError(queue, worker)


def retry_call(
    k: QueueKeys, worker: str, message_id: str, attempts_before: str, attempts_after: str, delay_ms: int,
    total: str = "retried",
) -> Call:  # fmt: skip
    key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.delayed, k.attempts, k.wake, k.stats]
    return key_names, [worker, message_id, attempts_before, attempts_after, delay_ms, total]


def retry_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def dead_letter_call(
    k: QueueKeys, worker: str, message_id: str | bytes, attempts_before: str | bytes, record: bytes
) -> Call:
    own = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats]
    return [*own, *dead_letter_keys(k), result_key(k, message_id)], [worker, message_id, attempts_before, record]


def dead_letter_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def dead_letter_keys(k: QueueKeys) -> list[str]:
    """Keys of the destination of a dead letter: the dead-letter queue, or `parked` of this one."""
    dead = k.dead_letters()
    return [k.parked if k.is_dead_letter_queue else dead.waiting, dead.messages, dead.meta, dead.wake]


def discard_call(k: QueueKeys, worker: str, message_id: str, attempts_before: str, record: bytes) -> Call:
    key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats, k.result(message_id)]
    return key_names, [worker, message_id, attempts_before, record]


def discard_result(reply: Any, queue: str, worker: str) -> bool:
    """False if it is already done. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1


def release_call(k: QueueKeys, worker: str, number: int, message_ids: Sequence[Any], *, started: bool) -> Call:
    key_names = [k.workers, k.processing(worker), k.waiting, k.prioritized, k.attempts, k.wake, k.releases]
    return key_names, [worker, number, int(started), *message_ids]


def release_result(reply: Any, queue: str, worker: str) -> int:
    """Number of released messages. Raises LeaseLostError."""
    return check_lease(reply, queue, worker)


def replay_call(k: QueueKeys, message_id: str | bytes, priority: int) -> Call:
    """`k` are the keys of the original queue."""
    dead = k.dead_letters()
    places = [dead.waiting, dead.prioritized, dead.delayed, dead.parked, dead.messages, dead.attempts]
    target = [k.meta, k.waiting, k.prioritized, k.messages, k.attempts, k.wake, k.stats, result_key(k, message_id)]
    return [*places, *target], [message_id, priority]


def replay_result(reply: Any, queue: str) -> bool:
    """False if the dead letter is not there. Raises QueueNotFoundError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    return bool(reply)


def delete_call(k: QueueKeys, place: str, message_ids: Sequence[bytes]) -> Call:
    return [place, k.messages, k.attempts, k.stats], message_ids


def delete_result(reply: Any) -> int:
    """Number of deleted messages."""
    return int(reply)


def delete_message_call(k: QueueKeys, message_id: str | bytes) -> Call:
    places = [k.waiting, k.prioritized, k.delayed, k.parked]
    return [*places, k.messages, k.attempts, k.stats], [message_id]


def delete_message_result(reply: Any) -> bool | None:
    """False if the message is not stored, None if a worker holds it."""
    return None if reply == -1 else bool(reply == 1)
