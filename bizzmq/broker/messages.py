"""Messages: publish, claim and settle them, and wait for new ones."""

from __future__ import annotations

import math
from typing import Any, Sequence

from bizzmq.broker.checked_publish import (
    CheckedRequest,
    Seal,
    Standing,
    Terms,
    checked_publish,
    publish_checked_call,
    publish_checked_result,
)
from bizzmq.broker.message_calls import (
    Claimed,
    claim_call,
    claim_result,
    dead_letter_call,
    dead_letter_result,
    delete_call,
    delete_message_call,
    delete_message_result,
    delete_result,
    discard_call,
    discard_result,
    promote_call,
    promote_result,
    publish_call,
    publish_result,
    release_call,
    release_result,
    replay_call,
    replay_result,
    retry_call,
    retry_result,
)
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.connection.error_mapping import CommandRefusedError, NoScriptError
from bizzmq.errors import BrokerReplyError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import DISCARDED

__all__ = ("BATCH_LIMIT", "Messages", "publish_checked_call", "publish_checked_result")
BATCH_LIMIT = 100
"""Messages in one script call at most, so that no script blocks Redis for more than a few milliseconds."""


class Messages:
    """Transitions of messages."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run, self._command = runner.keys, runner.run, runner.command
        self._connection, self._perform = runner.connection, runner.perform
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

    def publish_checked(
        self, queue: str, publisher: str, request: CheckedRequest, terms: Terms, seal: Seal
    ) -> Standing:
        """Publish messages that are unique or expire, or to a queue of limited length: all at once, or none.

        Raises:
            QueueNotFoundError, QueueFullError: nothing was published.
            BrokerReplyError: the publisher's number in Redis is forged. The messages may be published or not.
        """
        k = self._keys(queue)
        if seal is not None:
            return self._perform(checked_publish(k, publisher, request, terms, seal))
        reply = self._run("publish_checked", publish_checked_call(k, publisher, request, terms, 0))
        return publish_checked_result(reply, k, publisher, request)

    def send_publish_checked(
        self, queue: str, publisher: str, request: CheckedRequest, terms: Terms, before: int, seal: Seal
    ) -> None:
        """Send a request without a wait for its reply. Messages that are sealed must not replace others.

        Args:
            before: the number of an earlier request whose reply is unread and which must be executed first, or 0.
        """
        key_names, args = publish_checked_call(self._keys(queue), publisher, request, terms, before, seal)
        connection = self._connection.at(key_names[0])
        send = connection.send_more if before else connection.send
        send((*self._command("publish_checked", key_names), *args))

    def read_publish_checked(self, queue: str, publisher: str, request: CheckedRequest) -> Standing | None:
        """Read the reply to the first unread `send_publish_checked`. Returns None if Redis did not execute it."""
        k = self._keys(queue)
        reply = self._connection.at(k.meta).read()
        return publish_checked_result(reply, k, publisher, request) if reply[0] == 1 else None

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

    def discard(
        self, queue: str, worker: str, message_id: str, attempts_before: str, record: bytes = b"{}",
        state: str = DISCARDED,
    ) -> bool:  # fmt: skip
        """Delete a message that is not retried. Returns False if that is already done. Raises LeaseLostError.

        Args:
            state: `discarded` after a failure, or `cancelled`.
        """
        call = discard_call(self._keys(queue), worker, message_id, attempts_before, record, state)
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

    def replay(
        self, queue: str, message_id: str, priority: int, version: str = "", edited: bytes = b"", nonce: str = ""
    ) -> bool:
        """Return a dead letter to its original queue. Returns False if it is not there, or has another version.

        Args:
            queue: a queue, its dead-letter queue, or the shard of one that has the dead letter.
            version: the SHA1 of the header of the dead letter; "" for any.
            edited: the envelope that replaces the stored one; empty to keep that without its error record.
            nonce: of the caller. A repetition of its last replay then returns True again, as after a lost reply.

        Raises:
            QueueNotFoundError: the original queue does not exist.
        """
        dead = self._keys(queue).dead_letters()
        k = self._keys(dead.owner)
        call = replay_call(k, message_id, priority, version, edited, nonce)
        return replay_result(self._run("replay", call), k.queue)

    def delete(self, queue: str, place: str, message_ids: Sequence[bytes], nonce: str = "") -> int:
        """Delete messages (at most 100) from `prioritized` or `delayed`, the key `place`. Returns how many.

        Args:
            nonce: of the caller. A repetition of its last call then returns the same, as after a lost reply.
        """
        if not message_ids:
            return 0
        return delete_result(self._run("delete", delete_call(self._keys(queue), place, message_ids, nonce)))

    def delete_message(self, queue: str, message_id: str, nonce: str = "") -> bool | None:
        """Delete a message that no worker holds. Returns False if it is not stored, None if a worker holds it."""
        call = delete_message_call(self._keys(queue), message_id, nonce)
        return delete_message_result(self._run("delete_message", call))

    def promote(self, queue: str, message_id: str, nonce: str = "") -> bool:
        """Make a delayed message wait now. False if it is not delayed."""
        return promote_result(self._run("promote", promote_call(self._keys(queue), message_id, nonce)))

    def stored(self, queue: str, message_id: str) -> tuple[bytes | None, bytes | None]:
        """Envelope and attempts of a message as stored."""
        k = self._keys(queue)
        envelope = self._connection.execute("HGET", k.messages, message_id)
        return envelope, self._connection.execute("HGET", k.attempts, message_id)

    def outstanding(self, queue: str) -> int:
        """Number of unfinished messages: waiting, delayed, or held by any worker. What is put aside does not count."""
        k = self._keys(queue)
        held = int(self._connection.execute("HLEN", k.messages)) - int(self._connection.execute("LLEN", k.parked))
        return held - self._suspended(k)

    def _suspended(self, k: QueueKeys) -> int:
        """How many messages are put aside. Users of Redis from before pauses may not ask."""
        try:
            return int(self._connection.execute("ZCARD", k.suspended))
        except CommandRefusedError:
            return 0

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
