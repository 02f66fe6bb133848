"""What to do while Redis is away: wait longer each time, say it once, say when it is over."""

from __future__ import annotations

import logging
import random

from bizzmq.logs import log

FIRST_S = 0.05
LONGEST_S = 3.0
_SAID_LIMIT = 5
"""How many different causes of one outage are said."""


class Outage:
    """The state of one user's trouble with Redis."""

    def __init__(self, logger: logging.Logger, who: str) -> None:
        self._logger = logger
        self._who = who
        self._count = 0
        self._said: set[str] = set()

    def failed(self, error: BaseException) -> float:
        """Note a failure; returns the seconds to wait before the next try, jittered."""
        text = str(error)
        if text not in self._said and len(self._said) < _SAID_LIMIT:
            self._said.add(text)
            log(self._logger, logging.WARNING, "Redis is unavailable, retrying", who=self._who, error=text)
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._count, 10))
        self._count += 1
        return wait_s * (0.5 + random.random() / 2)

    @property
    def lasts(self) -> bool:
        """Whether the last try has failed."""
        return self._count > 0

    def over(self) -> None:
        """Note a success."""
        if self._count:
            log(self._logger, logging.INFO, "Redis is available again", who=self._who, tries=self._count)
            self._count = 0
            self._said.clear()
