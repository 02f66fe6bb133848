"""The methods of a client that cancel messages, and that pause and resume."""

from __future__ import annotations

from datetime import timedelta

from bizzmq.admin.activity.pauses import Pause, read_pauses
from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.control import cancel as cancelling
from bizzmq.control import pause as pausing
from bizzmq.control.pool_client import PoolClient
from bizzmq.control.retry import retry_message


class ControlClient(PoolClient):
    """What the commands `bizzmq cancel`, `retry`, `pause` and `resume` do, as methods with the same names."""

    def cancel(
        self,
        message_id: str = "",
        queue_name: str | None = None,
        *,
        unique_key: str = "",
        by: str = "",
        reason: str = "",
    ) -> bool:
        """Cancel a message: it is neither run nor retried, and ends as `cancelled`. Its result says so.

        A message that is not running ends at once. In the handler of a running one, `MessageCancelled` is raised within
        a second; if the handler does not end within the grace period of its pool, its worker is killed. A handler that
        returns in time has succeeded: `status` says what has become of the message.

        Args:
            message_id: its id, unless it is named by `unique_key`.
            queue_name: the queue that has it; None searches all queues, as `find` does.
            unique_key: in place of an id: the unique key that a message of the queue has now.
            by: who cancels it; the default is the user and the host of this process.
            reason: why, for those who wait for its result.

        Returns:
            False if there is no such message: it has ended, or never was. A dead letter has ended, too.

        Raises:
            ConfigurationError: an argument is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        target = cancelling.checked_target(message_id, queue_name, unique_key)
        return any(self._perform(cancelling.cancel_target, target, cancelling.checked_record(by, reason)))

    def cancel_all(self, queue_name: str, *, task: str = "", key: str = "", by: str = "", reason: str = "") -> int:
        """Cancel the messages of a queue, or those with a task, a key, or both. Dead letters stay.

        It reads the whole queue, in pages. Messages that are published meanwhile may be left.

        Returns:
            How many are cancelled; of those that were running, some may still succeed.

        Raises:
            BrokerUnavailableError: some may have been cancelled; the call can be repeated.
            ConfigurationError, QueueNotFoundError, ClosedError
        """
        selection = cancelling.checked_selection(task, key)
        step: cancelling.CancelStep | None = self._perform(
            cancelling.begin_cancel, keys_of(queue_name), selection, cancelling.checked_record(by, reason)
        )
        cancelled = 0
        while step is not None:
            done, step = self._perform(cancelling.cancel_step, step)
            cancelled += sum(done)
        return cancelled

    def retry(self, message_id: str, queue_name: str | None = None) -> bool:
        """Run a delayed message now: one that waits for its next retry, or was published for later.

        It becomes the last message of its queue. Its attempts stay as they are. Dead letters are replayed instead:
        `replay`.

        Args:
            message_id: its id.
            queue_name: the queue that has it; None searches all queues, as `find` does.

        Returns:
            False if it is not delayed: it waits, runs, has ended, or never was.

        Raises:
            ConfigurationError: an argument is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        return self._perform(retry_message, k, checked_id(message_id))

    def pause(
        self,
        queue_name: str,
        *,
        task: str = "",
        key: str = "",
        by: str = "",
        reason: str = "",
        for_s: float | timedelta | None = None,
    ) -> None:
        """Pause a queue, or its messages of a task or with a key: on all hosts, no worker takes them any more.

        Messages that are running finish, and those that a worker has claimed are run. Publishing goes on. If a task or
        a key is paused, the other messages of the queue go on. A pause that holds already is replaced.

        Args:
            by: who pauses it; the default is the user and the host of this process.
            reason: why.
            for_s: how long it holds, seconds or a timedelta; None until `resume`. Redis's clock counts.

        Raises:
            ConfigurationError: an argument is invalid, or both a task and a key are given.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        paused, about = pausing.checked_name(keys_of(queue_name), task, key), pausing.checked_about(by, reason)
        self._perform(pausing.pause, paused, about, pausing.checked_duration_ms(for_s))

    def resume(self, queue_name: str, *, task: str = "", key: str = "") -> bool:
        """End a pause. What was put aside for it returns to the head of the queue, in its old order.

        Returns:
            False if there was no such pause.

        Raises:
            BrokerUnavailableError: the pause may have ended; a pool completes what was begun.
            ConfigurationError, QueueNotFoundError, ClosedError
        """
        return self._perform(pausing.resume, pausing.checked_name(keys_of(queue_name), task, key))

    def pauses(self, queue_name: str) -> list[Pause]:
        """What of a queue is paused now: the queue first, then tasks and keys.

        Raises:
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(read_pauses, keys_of(queue_name))
