"""Retries while Redis is unavailable: back-off, one log line for each outage, repetition until Redis has answered."""

from __future__ import annotations

import logging
from typing import Callable, TypeVar

from bizzmq.errors import QUEUE_TROUBLE, BrokerFullError, BrokerRefusesError, BrokerUnavailableError
from bizzmq.utils import backoff, clock
from bizzmq.utils.logs import log
from bizzmq.utils.stop_event import StopEvent

T = TypeVar("T")
CURABLE = (BrokerUnavailableError, BrokerFullError)
"""Errors of a server that pass by themselves, or that an operator can cure."""
FIRST_S = 0.05
LONGEST_S = 3.0
QUIET_S = 10.0
"""An outage within this time after the last one is logged only if it lasts longer than this time."""
QUOTE_LIMIT = 500
"""Characters of an error text that may quote data in Redis."""
_CAUSES_LIMIT = 5


class Outage:
    """Back-off and logging for one user of Redis.

    An unreachable server is logged once, not once for each error of the socket. Error replies of Redis, such as a wrong
    password, are logged once for each different text.

    Args:
        queue: the queue that this is about, if it is about one; trouble of the queue itself is logged as such.
    """

    def __init__(
        self, logger: logging.Logger, who: str, now_s: clock.Monotonic = clock.monotonic, queue: str = ""
    ) -> None:
        self._logger = logger
        self._who = who
        self._queue = queue
        self._is_set_aside = False
        self._now_s = now_s
        self._failures = 0
        self._logged: set[str] = set()
        self._quiet_until_s = float("-inf")

    def failed(self, error: BaseException) -> float:
        """Note a failure; returns the seconds to wait before the next try, with jitter."""
        self._log(error)
        wait_s = backoff.jittered(backoff.doubled(FIRST_S, self._failures, LONGEST_S))
        self._failures += 1
        return wait_s

    def _log(self, error: BaseException) -> None:
        cause = str(error) if isinstance(error, (BrokerRefusesError, *QUEUE_TROUBLE)) else "unreachable"
        now_s = self._now_s()
        is_quiet = not self._logged and now_s < self._quiet_until_s
        if cause in self._logged or len(self._logged) >= _CAUSES_LIMIT or is_quiet:
            return
        self._logged.add(cause)
        self._quiet_until_s = now_s + QUIET_S
        self._is_set_aside = bool(self._queue) and isinstance(error, QUEUE_TROUBLE)
        if self._is_set_aside:
            log(self._logger, logging.ERROR, "the queue is set aside, it cannot be worked on",
                queue=self._queue, who=self._who, error=str(error)[:QUOTE_LIMIT])  # fmt: skip
        else:
            log(self._logger, logging.WARNING, "Redis is unavailable, retrying", who=self._who, error=str(error))

    @property
    def lasts(self) -> bool:
        """Whether the last try has failed."""
        return self._failures > 0

    def over(self) -> None:
        """Note a success."""
        if self._logged:
            facts = {"queue": self._queue} if self._is_set_aside else {}
            what = "the queue is worked on again" if self._is_set_aside else "Redis is available again"
            log(self._logger, logging.INFO, what, **facts, who=self._who, tries=self._failures)
            self._logged.clear()
        self._failures = 0


def retry(
    action: Callable[[], T],
    outage: Outage,
    before_retry: Callable[[Exception], None],
    *,
    on: tuple[type[Exception], ...] = CURABLE,
    failed: Exception | None = None,
) -> T:
    """The result of an action, which is repeated until it succeeds. It must be safe to repeat.

    Args:
        before_retry: called with the error of each failed try. It waits, or raises to give up.
        on: the errors after which the action is repeated; any other error is raised.
        failed: the error of a first try, if there was one already.
    """
    while True:
        if failed is not None:
            before_retry(failed)
        try:
            result = action()
        except on as error:
            failed = error
        else:
            outage.over()
            return result


class StoppedWhileUnavailable(Exception):  # noqa: N818 - not an error: the loop stops, and has nothing left to send
    """Redis is unavailable while a loop is stopping."""


class RetryUntilDone:
    """Repeats the requests of a loop until Redis has answered, or until a stopping loop has waited for its patience.

    Args:
        is_stopping: whether the loop should end.
        patience_s: how long a stopping loop waits for Redis, seconds.
        failed: called after each failed try.
    """

    def __init__(
        self,
        logger: logging.Logger,
        who: str,
        stop: StopEvent,
        is_stopping: Callable[[], bool],
        patience_s: float,
        failed: Callable[[], None],
    ) -> None:
        self._outage = Outage(logger, who)
        self._stop = stop
        self._is_stopping = is_stopping
        self._patience_s = patience_s
        self._failed = failed

    def __call__(self, action: Callable[[], T], *, required: bool = True, failed: Exception | None = None) -> T:
        """The result of an action, which must be safe to repeat.

        Args:
            required: whether the action must still be done when the loop is stopping.
            failed: as for `retry`.

        Raises:
            StoppedWhileUnavailable: the loop is stopping, Redis is unavailable, and the action is not required.
            BrokerUnavailableError: the loop is stopping, and Redis was unavailable for its whole patience.
            QUEUE_TROUBLE: the error concerns one queue only; see `queue_outages`.
        """
        give_up_s: float | None = None

        def before_retry(error: Exception) -> None:
            nonlocal give_up_s
            wait_s = self._outage.failed(error)
            self._failed()
            if not self._is_stopping():
                self._stop.wait(wait_s)
                return
            if not required:
                raise StoppedWhileUnavailable from error
            now_s = clock.monotonic()
            if give_up_s is None:
                give_up_s = now_s + self._patience_s
            if now_s > give_up_s:
                raise BrokerUnavailableError(str(error)) from error
            clock.sleep(wait_s)

        return retry(action, self._outage, before_retry, failed=failed)
