"""Base of the state machine: processes, and calls that are compared with the model."""

from __future__ import annotations

from typing import Any, List

from hypothesis.stateful import RuleBasedStateMachine
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from tests.model.calls import call, check_results, differences, establish
from tests.model.facts import Facts, Process
from tests.model.pauses import PAUSES
from tests.model.queue import LEASE_LOST, Queue, Request
from tests.model.schedules import SCHEDULES
from tests.model.transitions import apply
from tests.scripts.moves import DEAD, QUEUE

SUPERVISORS = ("s1", "s2")
DELETING = ("purge", "delete_message")
NEVER_LATE = {
    "purge", "replay", "replay_edited", "delete_message", "cancel", "expire_dead_letters", "publish_checked",
    *PAUSES, *SCHEDULES,
} - {"fire"}  # fmt: skip


class Actors(RuleBasedStateMachine):
    """All clients of the server, and the model of its contents."""

    def __init__(self, redis: Redis, broker: Broker) -> None:
        super().__init__()
        self.redis, self.broker = redis, broker
        self.queue = Queue(supervisors=tuple((name, 1) for name in SUPERVISORS))
        self.facts = Facts()
        self.processes: dict[str, Process] = {}
        self.sent: List[Request] = []
        self.number = self.started = 0
        establish(redis, self.queue)

    def ask(self, request: Request, again: int = 1) -> Any:
        """Make a request `times` times. Returns the last reply."""
        if request.script not in NEVER_LATE:
            self.sent.append(request)
        reply = None
        for _ in range(again):
            keys, dead = Keys(QUEUE), Keys(DEAD)
            self.redis.delete(keys.stats, keys.wake, dead.wake, dead.stats)
            outcome = apply(self.queue, request)
            reply = call(self.broker, request)
            assert reply == outcome.reply, f"{request} replied {reply!r}, not {outcome.reply!r}"
            assert not differences(self.redis, outcome), request
            self.queue = outcome.queue
            if request.script not in DELETING:
                check_results(self.redis, self.queue, self.facts.published, self.facts.ended)
        return reply

    def process(self, number: int) -> Process:
        return list(self.processes.values())[number % len(self.processes)]

    def tell(self, process: Process, request: Request, again: int) -> Any:
        """A worker's request. Without a lease the worker starts again with a new id."""
        reply = self.ask(request, again)
        if reply == LEASE_LOST:
            assert process.lost or not self.queue.is_registered(process.id)
            del self.processes[process.id]
        return reply

    def busy(self, number: int) -> Process:
        busy = [process for process in self.processes.values() if process.hand]
        return busy[number % len(busy)]
