"""Base of the state machines whose clock moves by hours: delays, expiry, throttled keys, pauses, schedules."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from redis import Redis

from bizzmq.audit import leftovers, schedules
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from tests.model.beside_machine import BesideMachine
from tests.model.moved_clock import set_clock
from tests.model.queue import Request
from tests.scripts.moves import QUEUE

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class TimedMachine(BesideMachine):
    """The clock ticks before each request, so that each moment has one."""

    time_passes = expire_dead_letters = replay_edited = postpone = None  # type: ignore[assignment] # others have them

    def __init__(self, redis: Redis, broker: Broker) -> None:
        super().__init__(redis, broker)
        self.move_clock(START_MS)

    def move_clock(self, ms: int) -> None:
        self.queue = self.queue._replace(now_ms=self.queue.now_ms + ms)
        set_clock(self.redis, self.queue.now_ms)

    def ask(self, request: Request, again: int = 1) -> Any:
        self.move_clock(1)
        return super().ask(request, again)

    @rule(minutes=st.sampled_from((2, 61)))
    def clock_moves(self, minutes: int) -> None:
        self.move_clock(minutes * MINUTE_MS)
        self.queue = self.queue._replace(due=self.queue.due + self.queue.delayed, delayed=())
        BesideMachine.times_of_expiry_pass(self)

    def times_of_expiry_pass(self) -> None:
        self.clock_moves(2)

    def teardown(self) -> None:
        """The audit finds nothing, either."""
        scan = QueueScan(self.broker, QUEUE)
        assert [*leftovers.findings_of(scan), *schedules.findings_of(self.broker, self.broker.keys(QUEUE))] == []

    @invariant()
    def throttled_keys_have_a_message_and_a_time(self) -> None:
        prefix, now_ms = Keys(QUEUE).prefix, self.queue.now_ms
        times = dict(self.redis.zrange(f"{prefix}throttles", 0, -1, withscores=True))
        messages = self.redis.hgetall(f"{prefix}throttled")
        assert set(times) == set(messages)
        live = {key: (messages[key], round(until_ms)) for key, until_ms in times.items() if until_ms > now_ms}
        assert live == {key: pair for key, pair in self.queue.throttled if pair[1] > now_ms}
