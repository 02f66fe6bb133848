"""The methods of a client that cancel messages."""

from __future__ import annotations

from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.queue_client import QueueClient
from bizzmq.control import cancel


class ControlClient(QueueClient):
    """What the commands `bizzmq cancel`, `pause` and `resume` do, as methods with the same names."""

    def cancel(self, message_id: str, queue_name: str | None = None, *, by: str = "", reason: str = "") -> bool:
        """Cancel a message: it is neither run nor retried, and ends as `cancelled`. Its result says so.

        A message that is not running ends at once. In the handler of a running one, `MessageCancelled` is raised within
        a second; if the handler does not end within the grace period of its pool, its worker is killed. A handler that
        returns in time has succeeded: `status` says what has become of the message.

        Args:
            queue_name: the queue that has it; None searches all queues, as `find` does.
            by: who cancels it; the default is the user and the host of this process.
            reason: why, for those who wait for its result.

        Returns:
            False if there is no such message: it has ended, or never was. A dead letter has ended, too.

        Raises:
            ConfigurationError: an argument is invalid.
            WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        k = None if queue_name is None else keys_of(queue_name)
        return any(self._perform(cancel.cancel_message, k, checked_id(message_id), cancel.checked_record(by, reason)))

    def cancel_all(self, queue_name: str, *, task: str = "", key: str = "", by: str = "", reason: str = "") -> int:
        """Cancel the messages of a queue, or those with a task, a key, or both. Dead letters stay.

        It reads the whole queue, in pages. Messages that are published meanwhile may be left.

        Returns:
            How many are cancelled; of those that were running, some may still succeed.

        Raises:
            BrokerUnavailableError: some may have been cancelled; the call can be repeated.
            ConfigurationError, QueueNotFoundError, ClosedError
        """
        selection = cancel.checked_selection(task, key)
        step: cancel.CancelStep | None = self._perform(
            cancel.begin_cancel, keys_of(queue_name), selection, cancel.checked_record(by, reason)
        )
        cancelled = 0
        while step is not None:
            done, step = self._perform(cancel.cancel_step, step)
            cancelled += sum(done)
        return cancelled
