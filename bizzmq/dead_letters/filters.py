"""Filters for dead letters."""

from __future__ import annotations

from typing import Any, NamedTuple

from bizzmq.dead_letters.fingerprint import LENGTH
from bizzmq.dead_letters.letters import DeadLetter
from bizzmq.validation import checks


class LetterFilter(NamedTuple):
    """What a dead letter must be like. None lets all pass. The fields are the arguments of the clients' methods."""

    task: str | None = None
    key: str | None = None
    error_type: str | None = None
    fingerprint: str | None = None
    older_than_s: float | None = None
    text: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lets all dead letters pass."""
        return self == _OPEN

    def passes(self, letter: DeadLetter, now_s: float) -> bool:
        """Whether a dead letter passes. `now_s` is Redis's time, seconds since the epoch."""
        if self.task is not None and letter.task != self.task:
            return False
        if self.key is not None and letter.key != self.key:
            return False
        if self.text is not None and self.text.casefold() not in letter.error_text.casefold():
            return False
        if self.error_type is not None and letter.fingerprint.error_type != self.error_type:
            return False
        if self.fingerprint is not None and letter.fingerprint.value != self.fingerprint:
            return False
        if self.older_than_s is not None:
            age_s = letter.age_s(now_s)
            return age_s is not None and age_s > self.older_than_s
        return True


_OPEN = LetterFilter()


def checked_filter(
    task: Any = None, key: Any = None, error_type: Any = None, fingerprint: Any = None, older_than_s: Any = None,
    text: Any = None,
) -> LetterFilter:  # fmt: skip
    """A filter from arguments of a user. Raises ConfigurationError."""
    given = {"task": task, "key": key, "error_type": error_type, "text": text}
    texts = {name: None if value is None else checks.text(name, value) for name, value in given.items()}
    age_s = None if older_than_s is None else checks.seconds("older_than_s", older_than_s, otherwise=", or None")
    return LetterFilter(**texts, fingerprint=_checked_fingerprint(fingerprint), older_than_s=age_s)


def _checked_fingerprint(value: Any) -> str | None:
    if value is None:
        return None
    found = checks.text("fingerprint", value)
    if len(found) != LENGTH or not all(digit in "0123456789abcdef" for digit in found):
        checks.refuse("fingerprint", f"{LENGTH} hex digits, as dead_letter_groups names them", value)
    return found
