"""The methods of a client that find, group and replay dead letters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable, Mapping

from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.listing import MessagePage, checked_limit
from bizzmq.admin.queue_client import QueueClient
from bizzmq.dead_letters import edit
from bizzmq.dead_letters.edit import UNCHANGED, Edit
from bizzmq.dead_letters.filters import LetterFilter, checked_filter
from bizzmq.dead_letters.groups import DeadLetterGroup, Grouping
from bizzmq.dead_letters.letters import read_letter
from bizzmq.dead_letters.listing import list_letters
from bizzmq.dead_letters.rates import Pace, checked_rate
from bizzmq.dead_letters.replay import Replay, replay_letter, replay_steps
from bizzmq.errors import ConfigurationError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.sealing import Sealer


class DeadLetterClient(QueueClient):
    """What the command `bizzmq dlq` does, as methods."""

    def _edit_settings(self) -> tuple[Sealer | None, Callable[[Any], bytes]]:
        """What signs an edited message, or None, and what makes JSON of its body."""
        raise NotImplementedError  # the client has them

    def dead_letters(
        self,
        queue_name: str,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> MessagePage:
        """List the dead letters of a queue in pages, oldest first, as `messages` with the state `dead_lettered` does.

        With filters, a page ends after 10,000 dead letters at the latest, so it may have few messages or none before
        the last one.

        Args:
            queue_name: the name of the queue, or of its dead-letter queue.
            task: only those of this task.
            key: only those with this key.
            error_type: only those whose error has this type, such as "ZeroDivisionError".
            fingerprint: only those of one group, see `dead_letter_groups`.
            older_than_s: only those that failed longer ago, seconds or a timedelta.
            text: only those whose error's text contains this one; case does not count.
            limit: the most messages of a page, up to 1,000.
            after: `next` of the page before; None begins.

        Raises:
            QueueNotFoundError: the queue, or its dead-letter queue, does not exist.
            ConfigurationError, BrokerUnavailableError, ClosedError
        """
        k, limit = keys_of(queue_name), checked_limit(limit)
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        return self._perform(list_letters, k, wanted, limit, after)

    def dead_letter_groups(
        self,
        queue_name: str,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
    ) -> list[DeadLetterGroup]:
        """Group the dead letters of a queue by what failed: the error's type, and the last frame of the user's code.

        It reads all dead letters, without their bodies.

        Args:
            queue_name: the name of the queue, or of its dead-letter queue.
            task, key, error_type, fingerprint, older_than_s, text: as for `dead_letters`.

        Returns:
            The groups, largest first; those beyond 1,000 are counted as one, with the fingerprint `others`.

        Raises:
            QueueNotFoundError: the queue, or its dead-letter queue, does not exist.
            ConfigurationError, BrokerUnavailableError, ClosedError
        """
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        grouping = Grouping(keys_of(queue_name), wanted)
        while not grouping.is_complete:
            self._perform(grouping.read_page)
        return grouping.groups()

    def replay(
        self,
        queue_name: str,
        message_id: str | None = None,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
        rate: float | str | None = None,
        body: Any = UNCHANGED,
        options: Mapping[str, Any] | None = None,
    ) -> int:
        """Move dead letters back to their queue: one, all, or those that pass filters. They count as new messages.

        Each is moved in one step of its own, so an error or a crash in between leaves each message in one place. Those
        that fail again meanwhile are not moved a second time.

        Args:
            queue_name: the name of the queue, or of its dead-letter queue.
            message_id: the id of one dead letter; None replays all that pass the filters.
            task, key, error_type, fingerprint, older_than_s, text: as for `dead_letters`.
            rate: the most messages in a time: a number in a second, or a text such as "10/s", "100/m" or "1000/h".
                None sets no limit.
            body: replaces the body of the one dead letter; the id stays.
            options: changes options of the one dead letter: a mapping of `priority`, `retries`, `timeout_s`, `task`,
                `version`, `result_ttl_s` or `headers` to JSON values. None as a value removes an option.

        Returns:
            How many were replayed: 0 if there is no such dead letter, or if a worker holds it.

        Raises:
            QueueNotFoundError: the queue, or its dead-letter queue, does not exist.
            EncodeError, PayloadTooLargeError: the new body is invalid; nothing was replayed.
            UniqueKeyInUseError: another message has the unique key of the one dead letter. Of many, such letters stay.
            SignatureError: the client has signing keys, none of which has signed the dead letter to edit.
            BrokerUnavailableError: some may have been replayed; the call can be repeated.
            ConfigurationError, ClosedError
        """
        k = keys_of(queue_name)
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        change, pace = edit.checked_edit(body, options), Pace(checked_rate(rate))
        check_one(message_id, wanted, change)
        if message_id is None:
            return sum(replay_steps(self._perform, Replay(k, wanted), pace))
        raw_id = checked_id(message_id)
        if change is not None:
            return int(self._replay_edited(k, raw_id, change))
        letter = self._perform(read_letter, k.dead_letters(), raw_id)
        return 0 if letter is None else int(self._perform(replay_letter, letter))

    def _replay_edited(self, k: QueueKeys, raw_id: bytes, change: Edit) -> bool:
        letter = self._perform(edit.read_stored_letter, k, raw_id)
        if letter is None:
            return False
        return self._perform(edit.replay_edited, edit.edited(letter, change, *self._edit_settings()))


def check_one(message_id: Any, wanted: LetterFilter, change: Edit | None) -> None:
    """Raise ConfigurationError unless the arguments of a replay fit together."""
    if message_id is None and change is not None:
        raise ConfigurationError("body and options change one dead letter: name it by message_id")
    if message_id is not None and not wanted.is_open:
        raise ConfigurationError("name one dead letter by message_id, or several by filters, not both")
