"""Each script does what its table says: once, after a lost reply, and if Redis has not cached it."""

from __future__ import annotations

from typing import Callable

import pytest
from redis import Redis

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.errors import BrokerUnavailableError
from bizzmq.testing.proxy import Proxy
from tests.scripts import (
    scenes_checked,
    scenes_claim,
    scenes_others,
    scenes_results,
    table_alerts,
    table_beside,
    table_cancel,
    table_checked,
    table_claim,
    table_entering,
    table_leaving,
    table_leftovers,
    table_metrics,
    table_pause,
    table_records,
    table_repairs,
    table_results,
    table_schedules,
)  # fmt: skip
from tests.scripts.beside import look_beside, put_beside
from tests.scripts.containers import look, put
from tests.scripts.moves import DEAD, QUEUE, Move

MOVES = [
    *table_entering.ROWS,
    *table_checked.ROWS,
    *table_claim.ROWS,
    *table_leaving.ROWS,
    *table_results.ROWS,
    *table_cancel.ROWS,
    *table_pause.ROWS,
    *table_repairs.ROWS,
    *table_leftovers.ROWS,
    *table_schedules.ROWS,
    *table_records.ROWS,
    *table_metrics.ROWS,
    *table_alerts.ROWS,
    *table_beside.ROWS,
]
SCENES = [*scenes_checked.ROWS, *scenes_claim.ROWS, *scenes_others.ROWS, *scenes_results.ROWS]
"""Rows that run once, because their calls are several ones, or special cases of what another row shows."""
every_move = pytest.mark.parametrize("move", MOVES, ids=str)


def given(redis: Redis, move: Move) -> None:
    put(redis, QUEUE, move.before)
    put(redis, DEAD, move.before_dead)
    put_beside(redis, QUEUE, move.beside)


def assert_after(redis: Redis, move: Move) -> None:
    assert look(redis, QUEUE) == move.after
    assert look(redis, DEAD) == move.after_dead
    assert look_beside(redis, QUEUE) == move.beside_after


def assert_again(broker: Broker, redis: Redis, move: Move) -> None:
    """The same call, after its reply was lost."""
    assert move.call(broker) == move.returns_again
    assert look(redis, QUEUE) == (move.after_again or move.after)
    assert look(redis, DEAD) == move.after_dead


def test_every_script_has_a_table() -> None:
    assert {move.script for move in MOVES} == set(scripts.names())


@every_move
def test_a_script_does_what_its_table_says(broker: Broker, redis: Redis, move: Move) -> None:
    given(redis, move)

    assert move.call(broker) == move.returns

    assert_after(redis, move)


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_scene_ends_as_its_table_says(broker: Broker, redis: Redis, scene: Move) -> None:
    given(redis, scene)

    assert scene.call(broker) == scene.returns

    assert_after(redis, scene)


@every_move
def test_a_call_whose_reply_was_lost_can_be_repeated(
    loaded: None, proxy: Proxy, broker_factory: Callable[[str], Broker], redis: Redis, move: Move
) -> None:
    given(redis, move)
    broker = broker_factory(proxy.url)
    swallowed = proxy.swallow_next_reply(scripts.load(move.script).digest.encode())

    try:
        move.call(broker)
    except BrokerUnavailableError:
        swallowed.wait()
        assert_after(redis, move)
    else:
        swallowed.wait()  # not the first command on its connection: the connection has repeated it

    assert_again(broker, redis, move)


@every_move
def test_a_script_that_is_not_cached_is_sent_as_text(broker: Broker, redis: Redis, move: Move) -> None:
    given(redis, move)
    redis.script_flush()

    assert move.call(broker) == move.returns

    assert_after(redis, move)
