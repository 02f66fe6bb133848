"""The methods of a client that look at messages, queues and pools, and change nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable, TypeVar

from bizzmq.admin import find, listing, message_status
from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.activity.queue_activity import QueueActivity, read_existing_activity
from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.explain.details import MessageDetails, read_details
from bizzmq.admin.explain.explanation import Explanation, read_explanation
from bizzmq.admin.explain.history import read_history
from bizzmq.admin.explain.kept_profile import read_profile_of
from bizzmq.admin.explain.output import read_output
from bizzmq.admin.message_filter import checked_filter
from bizzmq.admin.opening import opened
from bizzmq.admin.stats import read_all_pools
from bizzmq.admin.stored_message import WAITING, StoredMessage
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.metrics.series import QueueMetrics
from bizzmq.protocol.history import MessageHistory
from bizzmq.protocol.profile import KeptProfile
from bizzmq.protocol.sealing import Sealer
from bizzmq.validation import checks

T = TypeVar("T")


class LookingClient:
    """What the command `bizzmq` shows, as methods with the same names."""

    _sealer: Sealer | None = None

    def _execute(self, action: Callable[[Broker], T]) -> T:
        """Run an action that is safe to repeat, over a connection of the client."""
        raise NotImplementedError  # the client has the connections

    def explain(self, message_id: str, queue_name: str | None = None) -> Explanation:
        """Why a message is where it is, or what has become of it: one sentence, and the facts behind it.

        Args:
            queue_name: the queue to search, with its dead-letter queue. None searches all queues, as `find` does.

        Raises:
            ConfigurationError: the id or the name is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(read_explanation, k, checked_id(message_id))

    def show_message(self, message_id: str, queue_name: str | None = None) -> MessageDetails:
        """Everything that is known of a message: its explanation, options, attempts, errors, result and body.

        Args and Raises: as for `explain`.
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(read_details, k, checked_id(message_id))

    def history(self, message_id: str, queue_name: str | None = None) -> MessageHistory:
        """What has happened to a message, oldest first.

        Queues note it if they have the option `history`. Of other messages, as far as their own records tell: when they
        were published, their last error or crash, and how they have ended.

        Args and Raises: as for `explain`.
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(read_history, k, checked_id(message_id))

    def output(self, message_id: str, queue_name: str | None = None) -> str:
        """What a message has written: the last 64 kB of its last failed attempt, or what is kept after its end.

        Its lines of `Context.log` and `logging`, and with `bizzmq-worker --capture-output` also what it has written to
        stdout and stderr. Terminal escapes are in it as they were written. "" if there is none.

        Args and Raises: as for `explain`.
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(read_output, k, checked_id(message_id))

    def kept_profile(self, message_id: str, queue_name: str | None = None) -> KeptProfile | None:
        """What a pool with `--autopsy-after` has sampled while a message ran for long, of its last such delivery.

        It is kept as long as the message: while it runs or is retried, and as a dead letter. A queue keeps those of 64
        messages. None if there is none. `profile` samples a running message now.

        Args and Raises: as for `explain`.
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(read_profile_of, k, checked_id(message_id))

    def activity(self, queue_name: str) -> QueueActivity:
        """What happens on a queue now: how long its oldest message has waited, who serves it, and how fast.

        Raises:
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(read_existing_activity, keys_of(queue_name))

    def metrics(
        self, queue_name: str, *, last_s: float | timedelta = 3600.0, step_s: float | timedelta | None = None
    ) -> QueueMetrics:
        """What has happened on a queue over time: counts and latencies in steps, of the queue and of each task.

        Pools write it once in ten seconds, by Redis's clock. It reaches back an hour by 10 s, two days by minutes, and
        30 days by hours.

        Args:
            last_s: how far back, seconds or a timedelta: 10 s to 30 days.
            step_s: the length of a step, a multiple of 10 s within the last hour, of 60 s within two days, of an hour
                before; at most 3,000 steps. None chooses one with at most 360 steps.

        Raises:
            ConfigurationError: an argument is invalid.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(read_metrics, keys_of(queue_name), checked_window(last_s, step_s))

    def pools(self, queue_name: str | None = None) -> list[PoolInfo]:
        """The pools and in-process consumers on all hosts, as they have reported with their last heartbeats.

        Args:
            queue_name: only those that serve this queue; None looks at all queues and dead-letter queues.

        Raises:
            ConfigurationError, BrokerUnavailableError, ClosedError
        """
        return self._perform(read_all_pools, None if queue_name is None else keys_of(queue_name))

    def status(self, queue_name: str, message_id: str) -> message_status.MessageStatus:
        """Where a message is, or what has become of it if its result is kept.

        Raises:
            DecodeError, WrongTypeError: what is stored of it is not BizzMQ's.
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(message_status.read_status, keys_of(queue_name), checked_id(message_id))

    def find(self, message_id: str, queue_name: str | None = None) -> StoredMessage | None:
        """Find a stored message by its id: where it is, what it is, and how often it was tried.

        Args:
            queue_name: the queue to search, with its dead-letter queue. None searches all queues, which costs two
                requests for each queue and one for each further shard.

        Returns:
            None if no queue stores it, for example because it is finished.

        Raises:
            ConfigurationError: the id or the name is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(find.find_message, k, checked_id(message_id))

    def messages(
        self,
        queue_name: str,
        state: str = WAITING,
        *,
        limit: int = 100,
        after: str | None = None,
        task: str = "",
        key: str = "",
        older_s: float | timedelta = 0.0,
        error: str = "",
        body: str = "",
        newest_first: bool = False,
    ) -> listing.MessagePage:
        """List the messages of a queue in a state, in pages.

        Waiting messages are in the order in which workers claim them, delayed ones by their due time, processing ones
        by worker; those of a queue with shards, shard by shard. Messages may move between two pages: a message that
        stays in its place is listed once. If more than 10,000 messages leave a list between two pages, some may be left
        out; if the next 10 messages are deleted there, some may be listed again.

        Args:
            state: `waiting`, `delayed`, `processing` or `dead_lettered`; for a dead-letter queue `dead_lettered` or
                `processing`.
            limit: the most messages of a page, up to 1,000.
            after: `next` of the page before; None begins.
            task: only messages of this task.
            key: only messages with this key.
            older_s: only messages that were published so long ago, seconds or a timedelta.
            error: only messages with this text in `TYPE: TEXT` of the error that dead-lettered them, of their last
                attempt, or of their last crash.
            body: only messages with this text in their body as JSON, in any case; encrypted bodies have none.
            newest_first: the opposite order, within each shard.

        With one of these filters each page reads up to 10,000 messages, so it may have fewer than `limit`, or none,
        before the last one.

        Raises:
            ConfigurationError: an argument is invalid, or `after` comes from another listing.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k, limit = keys_of(queue_name), listing.checked_limit(limit)
        state, shown = listing.checked_state(k, state), checked_filter(task, key, older_s, error, body)
        newest_first = checks.flag("newest_first", newest_first)
        return self._perform(lambda: listing.read_page(k, state, limit, after, shown=shown, newest_first=newest_first))

    def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        """The result of an operation that is safe to repeat. It begins anew with each try."""
        return opened(self._execute(lambda broker: broker.perform(operation(*arguments))), self._sealer)
