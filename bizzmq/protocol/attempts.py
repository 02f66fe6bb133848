"""The attempts of a message, which are stored beside the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from bizzmq.errors import DecodeError
from bizzmq.protocol.envelope import decode_body

_COUNT = rb"(0|[1-9][0-9]{0,15})"
_COUNTS = re.compile(rb"%b %b %b (0|-?[1-9][0-9]{0,15})(?:\t([^\n]+))?\Z" % (_COUNT, _COUNT, _COUNT))
_ERROR = "\t!"
"""Before the last error. No JSON begins like this, so earlier versions read no record of a crash there."""


@dataclass(frozen=True)
class Attempts:
    """The number of attempts of a message, by how they ended, and its priority, which is stored with them.

    Attributes:
        retries: attempts in which the handler failed.
        crashes: attempts in which the worker died.
        requeues: times that the message was requeued without blame after it had, or may have, started.
        priority: the priority with which the message was published.
        last_crash: the record of the last crash as JSON, or "".
        last_error: the error of the last attempt in one line, or "". A later crash removes it.
    """

    retries: int = 0
    crashes: int = 0
    requeues: int = 0
    priority: int = 0
    last_crash: str = ""
    last_error: str = ""

    @property
    def delivery(self) -> int:
        """The number of the next delivery: 1 for the first."""
        return 1 + self.retries + self.crashes + self.requeues

    def encode(self) -> str:
        """The stored text."""
        counts = f"{self.retries} {self.crashes} {self.requeues} {self.priority}"
        if self.last_error:
            return f"{counts}\t{self.last_crash}{_ERROR}{self.last_error}"
        return f"{counts}\t{self.last_crash}" if self.last_crash else counts

    def last_crash_record(self) -> Mapping[str, Any] | None:
        """The record of the last crash; None if there was none, or if it cannot be decoded."""
        if not self.last_crash:
            return None
        try:
            record = decode_body(self.last_crash.encode("utf-8"))
        except DecodeError:
            return None
        return record if isinstance(record, dict) else None

    @classmethod
    def decode(cls, stored: bytes | None) -> Attempts:
        """Attempts from their stored text, in exactly the form of `encode`: Redis compares the texts of an outcome.

        Raises:
            DecodeError: the text has another form.
        """
        if stored is None:
            return NO_ATTEMPTS
        match = _COUNTS.match(stored)
        if match is None:
            raise DecodeError(f"invalid stored attempts {stored[:80]!r}")
        retries, crashes, requeues, priority, rest = match.groups()
        try:
            counts = int(retries), int(crashes), int(requeues), int(priority)
            if rest is None:
                return cls(*counts)
            text = rest.decode("utf-8")
            crash, _, error = text.partition(_ERROR)
            return cls(*counts, crash, error) if error else cls(*counts, text)
        except UnicodeDecodeError as error:
            raise DecodeError(f"invalid stored attempts {stored[:80]!r}") from error


NO_ATTEMPTS = Attempts()
