"""R25: each key in turn has the wrong type. The error names the key, nothing moves, and work continues after repair."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, WrongTypeError
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.protocol.keys import INDEX, QueueKeys, type_of
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, snapshot
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.scripts.containers import everything, look, put
from tests.scripts.moves import DEAD, Move, claim_ids, held
from tests.scripts.test_moves import MOVES
from tests.support.wrong_type import wrong_type

ATOMIC = (
    "publish",
    "retry",
    "dead_letter",
    "discard",
    "release",
    "requeue",
    "replay",
    "purge",
    "register",
    "heartbeat",
)
"""The atomic calls. A claim is not atomic: the next claim returns what it has moved."""
CASES = [move for move in MOVES if move.script in ATOMIC and move.before != move.after]

LEASE_S = 1.0


class WiretappedConnection(Connection):
    """Records the keys of the last script call."""

    keys: tuple[str, ...] = ()

    def execute_plain(self, args: tuple[str | bytes, ...]) -> Any:
        if args[0] in ("EVAL", "EVALSHA"):
            self.keys = tuple(key.decode() if isinstance(key, bytes) else key for key in args[3 : 3 + int(args[2])])
        return super().execute_plain(args)


@pytest.fixture
def connection(url: str) -> Iterator[WiretappedConnection]:
    connection = WiretappedConnection(url)
    yield connection
    connection.drop()


@pytest.mark.parametrize("move", CASES, ids=str)
def test_a_call_that_meets_a_wrong_type_names_the_key_and_moves_nothing(
    connection: WiretappedConnection, redis: Redis, move: Move
) -> None:
    broker = Broker(connection)
    _given(redis, move)
    move.call(broker)

    for key in sorted(set(connection.keys)):
        _given(redis, move)
        _spoil(redis, key)
        before = _movable(redis)
        try:
            move.call(broker)
        except WrongTypeError as error:
            assert (error.key, error.queue) == (key, DEAD if ":dlq:" in key else QUEUE)  # noqa: PT017
            assert error.wanted == type_of(key) != error.found  # noqa: PT017 - some calls do not need each key
            assert _movable(redis) == before, f"something was moved although {key} has the wrong type"


def test_repeated_claims_with_a_wrong_type_duplicate_nothing(connection: WiretappedConnection, redis: Redis) -> None:
    broker = Broker(connection)
    due = held(due=("m1", "m2", "m3"), attempts={"m2": "0 0 0 5"})
    put(redis, QUEUE, due)
    redis.set(Keys(QUEUE).prioritized, "of the wrong type")

    for _ in range(3):
        with pytest.raises(WrongTypeError):
            claim_ids(broker, 100)
    redis.delete(Keys(QUEUE).prioritized)

    assert look(redis, QUEUE) == due
    assert claim_ids(broker, 100) == ["m2", "m1", "m3"]


@pytest.mark.parametrize(
    ("key", "ask"),
    [
        (Keys(QUEUE).waiting, lambda mq: mq.stats(QUEUE)),
        (Keys(QUEUE).stats, lambda mq: mq.stats(QUEUE)),
        (Keys(DEAD).messages, lambda mq: mq.stats(QUEUE)),
        (Keys(QUEUE).meta, lambda mq: mq.consume_message_from_queue(QUEUE, print)),
        (Keys(QUEUE).waiting, lambda mq: mq.publish_message_to_queue(QUEUE, 1)),
        (INDEX, lambda mq: mq.create_queue("other")),
    ],
    ids=["stats waiting", "stats stats", "stats dead letters", "consume meta", "publish waiting", "create index"],
)
def test_the_caller_gets_an_error_with_the_key(url: str, redis: Redis, key: str, ask: Callable[[BizzMQ], Any]) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE)
        redis.delete(key)
        redis.set(key, "of the wrong type")

        with pytest.raises(WrongTypeError, match=f"key '{key}'.* is a string, not a {type_of(key)}") as refused:
            ask(mq)

        assert refused.value.key == key
        redis.delete(key)  # no earlier reply is left on the connection
        mq.create_queue(QUEUE)
        mq.publish_message_to_queue(QUEUE, 1, MessageOptions(delay_s=60.0))
        assert mq.stats(QUEUE).delayed == 1


@pytest.mark.usually(2)
@pytest.mark.parametrize("name", ["waiting", "delayed", "attempts", "stats", "wake"])
def test_a_pool_logs_a_wrong_type_and_continues_when_it_is_repaired(scene: Scene, name: str) -> None:
    pool = scene.pool("--lease=1", handler=HANDLER)
    gates = {action: scene.gate() for action in ("ok", "raise")}
    for action, gate in gates.items():
        scene.ledger.wait_started(scene.publish_one(gate.body(action, "ok")))
    opened = scene.gate()
    opened.open()
    scene.publish(*[opened.body()] * 20)
    key = getattr(Keys(QUEUE), name)

    with wrong_type(scene.redis, key), invariants.log_rate(pool.log):
        for gate in gates.values():
            gate.open()
        log_says(pool, f"key '{key}' of queue '{QUEUE}' is a string, not a {type_of(key)}")
        with contextlib.suppress(WrongTypeError):  # the error is published nowhere
            scene.publish_one(opened.body())

    scene.settle(extra_runs=1)
    log_says(pool, "the queue is worked on again")
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    assert {event.fields["delivery"] for event in scene.ledger.starts()} == {1, 2}
    scene.retire(pool)


def test_one_queues_wrong_type_does_not_cost_its_pool_the_lease_on_the_others(scene: Scene) -> None:
    scene.mq.create_queue("broken")
    pool = scene.pool(f"--lease={LEASE_S}", queue=[QUEUE, "broken"], handler=HANDLER)
    long, deadly = scene.gate(), scene.gate()
    messages = scene.publish(long.body(), deadly.body("kill_self", "ok"))
    worker, _ = [scene.ledger.wait_started(message).pid for message in messages]
    other = scene.pool(f"--lease={LEASE_S}", handler=HANDLER, concurrency=1, ready=False)
    eventually(lambda: len(scene.registered()) == 3, PATIENCE_S)

    with wrong_type(scene.redis, Keys("broken").stats):
        deadly.open()  # the end of its worker cannot be settled in the broken queue
        scene.ledger.wait_started(messages[1], runs=2, timeout_s=PATIENCE_S)
        time.sleep(3 * LEASE_S)  # how long the fault lasts
        assert messages[0] in scene.held()
        assert "reaped" not in other.log()
        long.open()
        scene.settle(extra_runs=1)

    assert [run.pid for run in scene.ledger.runs_of(messages[0])] == [worker]
    eventually(lambda: len(snapshot(scene.redis, "broken")[0].workers) == 2, PATIENCE_S, pool.log)
    scene.retire(pool, other)


def test_each_key_has_its_documented_type() -> None:
    k = QueueKeys(QUEUE)
    names = [name for name, value in vars(k).items() if isinstance(value, str) and value.startswith("bizzmq:{")]
    keys = [getattr(k, name) for name in names if name != "base"] + [k.processing("w"), k.publisher("n")]

    assert {type_of(key) for key in keys} == {"hash", "list", "zset", "string"}
    assert [type_of(key) for key in (INDEX, "foreign", "bizzmq:{q}:foreign")] == ["set", "", ""]


def _given(redis: Redis, move: Move) -> None:
    redis.flushall()
    put(redis, QUEUE, move.before)
    put(redis, DEAD, move.before_dead)


def _spoil(redis: Redis, key: str) -> None:
    redis.delete(key)
    if type_of(key) == "string":
        redis.sadd(key, "of the wrong type")
    else:
        redis.set(key, "of the wrong type")


def _movable(redis: Redis) -> dict[str, Any]:
    """All stored data except the marker, which is a hint, and totals of zero."""
    found = {key: value for key, value in everything(redis).items() if key not in (Keys(QUEUE).wake, Keys(DEAD).wake)}
    totals = found.pop(Keys(QUEUE).stats, {})
    counted = {name: count for name, count in totals.items() if count != "0"} if isinstance(totals, dict) else totals
    return {**found, "counted": counted}
