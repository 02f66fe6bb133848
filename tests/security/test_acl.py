"""The documented users of Redis: each role needs every command of its line and can do nothing else."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.doctor import acl_rules, roles
from bizzmq.errors import BrokerRefusesError
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import everything, look
from tests.scripts.moves import DEAD, QUEUE, Move
from tests.scripts.test_moves import MOVES, given
from tests.security.acl_server import admin, guarded, is_of, no_waiters_left
from tests.security.roles import PASSWORD, ROLES, refusals, rules, url_of

__all__ = ["admin", "guarded", "no_waiters_left"]

OWN_MOVES = [(role, move) for role in ROLES for move in MOVES if is_of(role, move)]
OTHERS_MOVES = [("publisher", move) for move in MOVES if move.script != "publish" and move.returns is not False]
OTHERS_MOVES += [("worker", move) for move in MOVES if move.script == "publish" and move.after != move.before]


def one_of_each_script(moves: list[tuple[str, Move]]) -> list[Any]:
    """The others are nightly: a script that is refused does not get as far as its rows differ."""
    usual = {(role, move.script): move for role, move in reversed(moves)}
    return [
        pytest.param(role, move, marks=[] if usual[role, move.script] is move else [pytest.mark.nightly])
        for role, move in moves
    ]


@pytest.fixture
def broker_of(guarded: RedisServer) -> Iterator[Any]:
    """broker_of(role)"""
    made: list[Broker] = []

    def make(role: str) -> Broker:
        made.append(Broker(Connection(url_of(guarded, role))))
        return made[-1]

    yield make
    for broker in made:
        broker.connection.drop()


@pytest.mark.parametrize("role", ROLES)
def test_the_document_has_the_lines_that_the_doctor_uses(role: str) -> None:
    assert rules(role)[3:] == acl_rules.rules(roles.ROLES[role])
    assert rules(role)[:3] == ["on", f">{PASSWORD}", "resetchannels"]


@pytest.mark.parametrize(("role", "move"), OWN_MOVES, ids=str)
def test_a_role_can_make_its_own_transitions(admin: Redis, broker_of: Any, role: str, move: Move) -> None:
    given(admin, move)
    call, returns = move.without_reading

    assert call(broker_of(role)) == returns
    assert (look(admin, QUEUE), look(admin, DEAD)) == (move.after, move.after_dead)
    assert refusals(admin) == []


@pytest.mark.parametrize(("role", "move"), one_of_each_script(OTHERS_MOVES), ids=str)
def test_a_role_cannot_make_transitions_of_other_roles(admin: Redis, broker_of: Any, role: str, move: Move) -> None:
    given(admin, move)
    before = everything(admin)

    with pytest.raises(BrokerRefusesError):
        move.without_reading[0](broker_of(role))

    assert everything(admin) == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "words",
    [
        ("GET", "other"), ("SET", "other", "x"), ("HGETALL", "other"), ("DEL", "other"),
        ("EVAL", "return 1", "1", "other"), ("EVAL", "return redis.call('GET', 'other')", "0"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("FLUSHALL",), ("CONFIG", "GET", "requirepass"), ("CONFIG", "SET", "dir", "/"), ("KEYS", "*"), ("MONITOR",),
        ("ACL", "LIST"), ("SHUTDOWN",), ("SCRIPT", "FLUSH"), ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"), ("REPLICAOF", "NO", "ONE"), ("SUBSCRIBE", "x"), ("PUBLISH", "x", "y"),
        ("MIGRATE", "h", "1", "bizzmq:queues", "0", "1"), ("FUNCTION", "LIST"), ("MODULE", "LIST"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_role_can_reach_other_keys_or_the_server(broker_of: Any, role: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BrokerRefusesError):
        broker_of(role).connection.execute(*words)


@pytest.mark.parametrize("by", ["command", "script"])
@pytest.mark.parametrize(
    "words",
    [
        ("HGET", "bizzmq:{q}:messages", "x"), ("HGETALL", "bizzmq:{q}:messages"), ("HDEL", "bizzmq:{q}:messages", "x"),
        ("DEL", "bizzmq:{q}:messages"), ("LPOP", "bizzmq:{q}:waiting"), ("LRANGE", "bizzmq:{q}:waiting", "0", "-1"),
        ("LPUSH", "bizzmq:{q}:processing:w", "x"), ("HSET", "bizzmq:{q}:workers", "w", "s"),
        ("HGETALL", "bizzmq:{q}:workers"), ("HSET", "bizzmq:{q}:stats", "x", "1"), ("SMEMBERS", "bizzmq:queues"),
        ("SREM", "bizzmq:queues", "q"), ("SADD", "bizzmq:queues", "q"),
        ("HSET", "bizzmq:{q}:meta", "max_retries", "x"), ("HDEL", "bizzmq:{q}:meta", "retry"),
        ("SET", "bizzmq:{q}:meta", "x"), ("HDEL", "bizzmq:{q}:attempts", "x"), ("ZREM", "bizzmq:{q}:delayed", "x"),
        ("HSET", "bizzmq:{q}:dlq:messages", "x", "1\n{}"), ("LPUSH", "bizzmq:{q}:dlq:waiting", "x"),
        ("ZADD", "bizzmq:{q}:dlq:wake", "0", "m"), ("HINCRBY", "bizzmq:{q}:dlq:stats", "acked", "1"),
        ("HSET", "bizzmq:{q}:dlq:attempts", "x", "1 0 0 0"), ("SET", "bizzmq:{q}:dlq:publisher:x", "1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_publisher_cannot_read_remove_or_change(broker_of: Any, words: tuple[str, ...], by: str) -> None:
    call = words if by == "command" else ("EVAL", "return redis.call(unpack(ARGV))", "1", words[1], *words)

    with pytest.raises(BrokerRefusesError):
        broker_of("publisher").connection.execute(*call)


@pytest.mark.parametrize(
    "words", [("HSET", "bizzmq:{q}:messages", "x", "1\n{}"), ("HSET", "bizzmq:{q}:stats", "x", "1")]
)
def test_a_worker_cannot_publish(broker_of: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(BrokerRefusesError):
        broker_of("worker").connection.execute(*words)


def test_the_password_is_needed(guarded: RedisServer) -> None:
    url = url_of(guarded, "worker").replace(PASSWORD, "wrong")

    with pytest.raises(BrokerRefusesError):
        Broker(Connection(url)).ping()
