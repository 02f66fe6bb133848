"""Which messages a listing shows."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bizzmq.admin.stored_message import StoredMessage
from bizzmq.validation import checks


@dataclass(frozen=True)
class MessageFilter:
    """A message is shown if all of this is true of it; "" and 0 are always true.

    Attributes:
        task: the name of its task.
        key: its key.
        older_s: it was published at least so long ago, seconds.
        error: a part of `TYPE: TEXT` of the error that dead-lettered it, of its last attempt, or of its last crash.
        body: a part of its body as JSON, in any case; an encrypted body has none.
    """

    task: str = ""
    key: str = ""
    older_s: float = 0.0
    error: str = ""
    body: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it shows all messages."""
        return self == ALL

    def shows(self, message: StoredMessage) -> bool:
        """Whether a message is shown."""
        properties = message.message.properties if message.message else None
        if self.task and (properties is None or properties.task != self.task):
            return False
        if self.key and (properties is None or properties.key != self.key):
            return False
        if self.older_s and not _age_s(message) >= self.older_s:
            return False
        if self.error and not any(self.error in text for text in _errors(message)):
            return False
        return not self.body or self.body.casefold() in _body(message)


ALL = MessageFilter()


def checked_filter(task: Any, key: Any, older_s: float | timedelta, error: Any, body: Any = "") -> MessageFilter:
    """A filter from what users pass. Raises ConfigurationError."""
    given = (("task", task), ("key", key), ("error", error), ("body", body))
    texts = {name: checks.text(name, value) for name, value in given}
    return MessageFilter(older_s=checks.seconds("older_s", older_s), **texts)


def _age_s(message: StoredMessage) -> float:
    """By this host's clock; negative if the id is forged."""
    return -1.0 if message.published_at_s is None else time.time() - message.published_at_s


def _body(message: StoredMessage) -> str:
    return json.dumps(message.body, ensure_ascii=False).casefold() if message.message else ""


def _errors(message: StoredMessage) -> list[str]:
    records = [record for record in (message.error, message.last_crash) if record]
    return [message.last_error, *(f"{one.get('error_type', '')}: {one.get('error', '')}" for one in records)]
