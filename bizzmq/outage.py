"""What to do while Redis is away: wait longer each time, say it once, say when it is over."""

from __future__ import annotations

import logging
import random

from bizzmq import clock
from bizzmq.errors import QUEUE_TROUBLE, BrokerRefusesError
from bizzmq.logs import log

FIRST_S = 0.05
LONGEST_S = 3.0
QUIET_S = 10.0
"""After an outage was said, another one is said only if it comes later than this, or lasts longer."""
_SAID_LIMIT = 5
TEXT_LIMIT = 500
"""Characters of an error that may quote what stands in Redis."""


class Outage:
    """The state of one user's trouble with Redis.

    That Redis cannot be reached is said once, whatever the socket has to say about it each time. What Redis
    answers, such as a wrong password, is said once for each different answer.

    Args:
        queue: the only queue that it is about; what is wrong with this queue itself is said as such.
    """

    def __init__(
        self, logger: logging.Logger, who: str, now_s: clock.Monotonic = clock.monotonic, queue: str = ""
    ) -> None:
        self._logger = logger
        self._who = who
        self._queue = queue
        self._is_aside = False
        self._now_s = now_s
        self._count = 0
        self._said: set[str] = set()
        self._quiet_until_s = float("-inf")

    def failed(self, error: BaseException) -> float:
        """Note a failure; returns the seconds to wait before the next try, jittered."""
        self._say(error)
        wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._count, 10))
        self._count += 1
        return wait_s * (0.5 + random.random() / 2)

    def _say(self, error: BaseException) -> None:
        cause = str(error) if isinstance(error, (BrokerRefusesError, *QUEUE_TROUBLE)) else "unreachable"
        now_s = self._now_s()
        if cause in self._said or len(self._said) >= _SAID_LIMIT or (not self._said and now_s < self._quiet_until_s):
            return
        self._said.add(cause)
        self._quiet_until_s = now_s + QUIET_S
        self._is_aside = bool(self._queue) and isinstance(error, QUEUE_TROUBLE)
        if self._is_aside:
            log(self._logger, logging.ERROR, "the queue is set aside, it cannot be worked on",
                queue=self._queue, who=self._who, error=str(error)[:TEXT_LIMIT])  # fmt: skip
        else:
            log(self._logger, logging.WARNING, "Redis is unavailable, retrying", who=self._who, error=str(error))

    @property
    def lasts(self) -> bool:
        """Whether the last try has failed."""
        return self._count > 0

    def over(self) -> None:
        """Note a success."""
        if self._said:
            facts = {"queue": self._queue} if self._is_aside else {}
            what = "the queue is worked on again" if self._is_aside else "Redis is available again"
            log(self._logger, logging.INFO, what, **facts, who=self._who, tries=self._count)
            self._said.clear()
        self._count = 0
