"""The scheduler of a process: it looks for due schedules on some queues, and fires them.

Every janitor and every in-process consumer has one. They need no agreement: the script that fires compares the due
time, so the first one fires. All times are Redis's; the process's own clock only measures how long to wait.
"""

from __future__ import annotations

import logging
from typing import Callable, List, Protocol, Tuple

from bizzmq.broker.broker import Broker
from bizzmq.broker.replies import as_text
from bizzmq.broker.schedules import DueSchedule, Fire, Fired
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import (
    QUEUE_TROUBLE,
    BizzMQError,
    BrokerFullError,
    BrokerRefusesError,
    BrokerUnavailableError,
    QueueNotFoundError,
)
from bizzmq.protocol.sealing import Sealer
from bizzmq.schedules.info import pause_of
from bizzmq.schedules.planning import MOST, due_text, plan
from bizzmq.schedules.schedule import Schedule, decode
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.scheduler")
LOOK_S = 1.0
"""The longest time between two looks at a queue that has schedules: others may add some meanwhile."""
_BUDGET_S = 0.5
"""After this time a tick pauses, so that the heartbeat of the same process is not late."""
_PROBLEMS_LIMIT = 1000


class QueueTroubles(Protocol):
    """What notes the trouble of a queue: the lease."""

    def set_aside(self, queue: str, error: BizzMQError, what: str = ...) -> float: ...

    def works_again(self, queue: str, what: str) -> None: ...


class Scheduler:
    """Fires the schedules of the queues on which `note` has been told of some.

    `tick` returns when it must be called again.

    Args:
        sealer: opens schedules, and seals their messages; None for plain messages.
        before_request: called before each request.
        reach: called with the name of each step, for tests that end the process there.
    """

    def __init__(
        self,
        broker: Broker,
        sealer: Sealer | None,
        now_s: clock.Monotonic = clock.monotonic,
        *,
        before_request: Callable[[], None] = lambda: None,
        reach: Callable[[str], None] | None = None,
    ) -> None:
        self._broker, self._sealer, self._now_s = broker, sealer or Sealer(), now_s
        self._before_request = before_request
        self._reach = reach or (lambda _name: None)
        self._next_look_s: dict[str, float] = {}
        self._problems: dict[tuple[str, bytes], str] = {}

    def note(self, queue: str, has_schedules: bool) -> None:
        """Note whether a queue has schedules."""
        if not has_schedules:
            self._next_look_s.pop(queue, None)
        else:
            self._next_look_s.setdefault(queue, 0.0)

    def tick(self, troubles: QueueTroubles) -> float:
        """Fire what is due; returns the seconds until the next call is due.

        Args:
            troubles: notes the trouble of a queue, which does not stop the work on the others.

        Raises:
            BrokerUnavailableError
        """
        now_s = self._now_s()
        failure: BrokerUnavailableError | None = None
        for queue, look_s in list(self._next_look_s.items()):
            if now_s < look_s:
                continue
            try:
                wait_s = self._fire_due(queue)
            except QueueNotFoundError:
                self.note(queue, has_schedules=False)  # the lease notices it, too, and has the queue created again
                continue
            except (*QUEUE_TROUBLE, BrokerFullError, BrokerRefusesError) as error:
                wait_s = troubles.set_aside(queue, error, "schedules")
            except BrokerUnavailableError as error:
                failure = error
                if not self._broker.connection.spans_nodes:
                    break
                wait_s = LOOK_S
            else:
                troubles.works_again(queue, "schedules")
            self._next_look_s[queue] = self._now_s() + wait_s
        if failure is not None:
            raise failure
        if not self._next_look_s:
            return LOOK_S
        return max(0.0, min(self._next_look_s.values()) - self._now_s())

    def _fire_due(self, queue: str) -> float:
        """Fire what is due on a queue; returns the seconds until the next look."""
        stuck, pause_at_s = 0, self._now_s() + _BUDGET_S
        while True:
            self._before_request()
            page = self._broker.due_schedules(queue, stuck)
            fires, unfired = self._plans(queue, page.due, page.now_ms)
            stuck += unfired
            self._fire(queue, fires)
            is_more = len(page.due) == MOST or len(fires) >= MOST
            is_more = is_more or (page.next_ms is not None and page.next_ms <= page.now_ms)
            if not is_more:
                break
            if self._now_s() >= pause_at_s:
                return 0.0
        if page.next_ms is None:
            return LOOK_S
        return min(LOOK_S, (page.next_ms - page.now_ms + 1) / 1000)

    def _plans(self, queue: str, due: List[DueSchedule], now_ms: int) -> Tuple[List[Fire], int]:
        """What to fire, and how many of the schedules cannot be fired here."""
        fires: List[Fire] = []
        stuck = 0
        for one in due:
            try:
                fires += self._planned(queue, one, now_ms)
            except BizzMQError as error:
                stuck += 1
                self._note_problem(queue, one.name, str(error))
        return fires, stuck

    def _fire(self, queue: str, fires: List[Fire]) -> None:
        for start in range(0, len(fires), MOST):
            part = fires[start : start + MOST]
            self._before_request()
            self._reach("before-fire")
            outcomes = self._broker.fire(queue, part)
            self._reach("after-fire")
            for fire, outcome in zip(part, outcomes):
                _log_outcome(queue, fire, outcome)

    def _planned(self, queue: str, due: DueSchedule, now_ms: int) -> List[Fire]:
        """What to fire. Raises BizzMQError: the schedule cannot be fired here."""
        schedule = decode(as_text(due.name), queue, due.definition, self._sealer)
        if due.state.pause:
            self._resume(schedule, due, now_ms)
            return []
        fires = plan(due, schedule, now_ms)
        if not self._sealer.changes_envelopes:
            return fires
        seal = self._sealer.seal
        return [fire._replace(envelope=seal(fire.message_id, queue, fire.envelope)) for fire in fires]

    def _resume(self, schedule: Schedule, due: DueSchedule, now_ms: int) -> None:
        """End a pause whose time is over."""
        next_due = due_text(schedule.options.when.first(now_ms))
        if self._broker.resume_schedule(schedule.queue, schedule.name, due.state.pause, next_due):
            log(_logger, logging.INFO, "the pause of a schedule is over", queue=schedule.queue, schedule=schedule.name,
                by=pause_of(due.state.pause).by)  # fmt: skip

    def _note_problem(self, queue: str, name: bytes, problem: str) -> None:
        key = queue, name
        if self._problems.get(key) == problem or len(self._problems) >= _PROBLEMS_LIMIT:
            return
        self._problems[key] = problem
        log(_logger, logging.ERROR, "a schedule cannot fire here", queue=queue, schedule=as_text(name),
            error=problem[:QUOTE_LIMIT])  # fmt: skip


_OUTCOMES = {
    Fired.FIRED: "schedule fired", Fired.SKIPPED: "schedule skipped",
    Fired.WAITS: "schedule waits for its last message", Fired.ELSEWHERE: "schedule fired elsewhere",
    Fired.DUPLICATE: "schedule skipped: another message has its unique key",
    Fired.FULL: "schedule skipped: the queue is full",
}  # fmt: skip


def _log_outcome(queue: str, fire: Fire, outcome: Fired) -> None:
    if _logger.isEnabledFor(logging.DEBUG):
        log(_logger, logging.DEBUG, _OUTCOMES[outcome], queue=queue, schedule=as_text(fire.name), id=fire.message_id)
