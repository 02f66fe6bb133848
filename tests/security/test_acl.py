"""The documented users of Redis: each role can do its work, with every command of its line, and nothing else."""

from __future__ import annotations

import shutil
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq import scripts
from bizzmq.broker import Broker
from bizzmq.connection import Connection
from bizzmq.doctor_permissions import SCRIPTS, kinds, needed
from bizzmq.errors import BrokerRefusesError, BrokerReplyError
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import everything, look, put
from tests.scripts.moves import DEAD, QUEUE, Move
from tests.scripts.test_moves import MOVES
from tests.security.roles import PASSWORD, ROLES, commands, refusals, rules, set_users, url_of

OWN_MOVES = [(role, move) for role in ROLES for move in MOVES if move.script in SCRIPTS[role]]
OTHERS_MOVES = [("publisher", move) for move in MOVES if move.script not in SCRIPTS["publisher"]]
OTHERS_MOVES += [("worker", move) for move in MOVES if move.script == "publish"]
_ASKED_BY_CLIENTS = {"publisher": "ping", "worker": "ping info", "operator": "ping info"}


def binaries() -> list[str]:
    """What the other tests run on, and Debian's server, which may be older."""
    return list(dict.fromkeys(found for found in (server_binary(), shutil.which("redis-server")) if found))


@pytest.fixture(scope="module", params=binaries(), ids=lambda path: path.rpartition("/")[2])
def guarded(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server with the three users."""
    server = RedisServer(binary=request.param)
    try:
        with server.client() as admin:
            set_users(admin)
        yield server
    finally:
        server.close()


@pytest.fixture
def admin(guarded: RedisServer) -> Iterator[Redis]:
    with guarded.client() as client:
        client.flushall()
        command(client, "ACL", "LOG", "RESET")
        for name in scripts.names():
            client.script_load(scripts.load(name).source)
        yield client


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


@pytest.mark.parametrize(("role", "move"), OWN_MOVES, ids=str)
def test_a_role_can_make_its_moves(admin: Redis, broker_of: Any, role: str, move: Move) -> None:
    put(admin, QUEUE, move.before)
    put(admin, DEAD, move.before_dead)

    assert move.call(broker_of(role)) == move.returns
    assert (look(admin, QUEUE), look(admin, DEAD)) == (move.after, move.after_dead)
    assert refusals(admin) == []


@pytest.mark.parametrize(("role", "move"), OTHERS_MOVES, ids=str)
def test_a_role_cannot_make_others_moves(admin: Redis, broker_of: Any, role: str, move: Move) -> None:
    put(admin, QUEUE, move.before)
    put(admin, DEAD, move.before_dead)
    before = everything(admin)

    with pytest.raises(BrokerRefusesError):
        move.call(broker_of(role))

    assert everything(admin) == before


@pytest.mark.parametrize("role", ROLES)
def test_a_line_names_what_the_role_uses_and_no_more(role: str) -> None:
    used = {*needed(role), *_ASKED_BY_CLIENTS[role].split()}
    also = {"publisher": {"multi", "exec", "wait", "expire", "hlen", "llen", "zcard", "hgetall"}}.get(role, set())

    assert commands(role) == used | also


@pytest.mark.parametrize("role", ["publisher", "worker"])  # an operator's keys are all of them
def test_the_doctor_asks_for_the_keys_of_the_line(role: str) -> None:
    patterns = {word.strip("()") for word in rules(role)}
    named = {pattern[len("~bizzmq:*:") :] for pattern in patterns if pattern.startswith("~bizzmq:*:")}

    assert {kind.replace("WORKER", "*").replace("NONCE", "*") for kind in kinds(role)} == named


@pytest.mark.parametrize("role", ROLES)
def test_every_other_command_of_the_server_is_refused(guarded: RedisServer, role: str) -> None:
    server = Connection(guarded.url)
    known = _arities(server.execute("COMMAND"))

    permitted = {name for name, arity in known.items() if _may(server, role, name, arity)}

    server.drop()
    assert permitted - commands(role) <= {"auth", "hello", "quit", "reset"}  # which anybody may
    # The arguments of these make no sense here.
    assert commands(role) - permitted <= {"eval", "evalsha", "rpoplpush"}
    assert len(known) > 250


def _arities(reply: Any) -> dict[str, int]:
    """All commands of a server with how many words they need, subcommands as `config|get`."""
    found: dict[str, int] = {}
    for about in reply:
        subcommands = about[9] if len(about) > 9 else []
        found.update(_arities(subcommands) if subcommands else {about[0].decode().lower(): abs(about[1])})
    return found


def _may(server: Connection, role: str, name: str, arity: int) -> bool:
    """Whether a role may run a command on one of the keys that it has."""
    words = name.split("|")
    for key in ("meta", "messages", "waiting", "wake", "stats", "publisher:x"):
        arguments = ["bizzmq:queues" if name in ("sadd", "smembers") else f"bizzmq:{{q}}:{key}", *["1"] * arity]
        call = words + arguments[: max(0, arity - len(words))]
        try:
            if server.execute("ACL", "DRYRUN", role, *call) == b"OK":
                return True
        except BrokerReplyError:  # not these arguments
            continue
    return False


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
def test_no_role_can_reach_others_keys_or_the_server(broker_of: Any, role: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BrokerRefusesError):
        broker_of(role).connection.execute(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("HGET", "bizzmq:{q}:messages", "x"), ("HGETALL", "bizzmq:{q}:messages"), ("HDEL", "bizzmq:{q}:messages", "x"),
        ("DEL", "bizzmq:{q}:messages"), ("LPOP", "bizzmq:{q}:waiting"), ("LRANGE", "bizzmq:{q}:waiting", "0", "-1"),
        ("LPUSH", "bizzmq:{q}:processing:w", "x"), ("HSET", "bizzmq:{q}:workers", "w", "s"),
        ("HGETALL", "bizzmq:{q}:workers"), ("HSET", "bizzmq:{q}:stats", "x", "1"), ("SMEMBERS", "bizzmq:queues"),
        ("SREM", "bizzmq:queues", "q"), ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", "bizzmq:{q}:messages"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_publisher_cannot_read_or_remove_a_message(broker_of: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(BrokerRefusesError):
        broker_of("publisher").connection.execute(*words)


def test_the_password_is_needed(guarded: RedisServer) -> None:
    url = url_of(guarded, "worker").replace(PASSWORD, "wrong")

    with pytest.raises(BrokerRefusesError):
        Broker(Connection(url)).ping()
