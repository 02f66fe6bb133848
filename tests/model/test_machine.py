"""In any order of calls the scripts do what the model does, and the promises hold after each step."""

from __future__ import annotations

import os
from typing import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from tests.conftest import STALL_S
from tests.model import moved_clock
from tests.model.beside_machine import BesideMachine
from tests.model.machine import Machine
from tests.model.pause_machine import PauseMachine
from tests.model.schedule_machine import ScheduleMachine
from tests.mutation.plugin import LUA_VARIABLE
from tests.support.examples import examples

# The same examples each time. A failure prints its steps and a blob to repeat it. Where any failure will do, as in the
# mutation run, it is not shrunk.
IS_BRIEF = LUA_VARIABLE in os.environ
SETTINGS = settings(
    max_examples=20 if IS_BRIEF else examples(80),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[Phase.generate] if IS_BRIEF else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    broker = Broker(Connection(url, timeout_s=STALL_S))
    yield broker
    broker.connection.drop()


def test_the_promises_hold_in_any_order_of_calls(redis: Redis, broker: Broker) -> None:
    run_state_machine_as_test(lambda: Machine(redis, broker), settings=SETTINGS)


def test_keys_expiry_cancels_and_what_messages_save_end_with_them(redis: Redis, broker: Broker) -> None:
    more = settings(SETTINGS, max_examples=2 * SETTINGS.max_examples)
    run_state_machine_as_test(lambda: BesideMachine(redis, broker), settings=more)


def test_what_is_paused_waits_aside_and_returns_in_order(
    redis: Redis, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "load", moved_clock.load)
    run_state_machine_as_test(lambda: PauseMachine(redis, broker), settings=SETTINGS)


def test_each_occurrence_of_a_schedule_is_published_once(
    redis: Redis, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "load", moved_clock.load)
    run_state_machine_as_test(lambda: ScheduleMachine(redis, broker), settings=SETTINGS)
