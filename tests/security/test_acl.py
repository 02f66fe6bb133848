"""The documented users of Redis: each role needs every command of its line and can do nothing else."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from typing import Any, Callable, Iterator, NamedTuple

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.dead_letters.retention import Retention
from bizzmq.doctor import acl_rules, roles
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerReplyError
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.protocol.ids import occurrence_id
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.scripts.containers import NO_QUEUE, Containers, everything, load_all, look, put
from tests.scripts.moves import DEAD, QUEUE, Move, held
from tests.scripts.table_schedules import DROPS, firing, occurrence, one
from tests.scripts.test_moves import MOVES
from tests.security.monitor import Pair, monitored
from tests.security.role_commands import ACTIONS
from tests.security.roles import (
    PASSWORD,
    ROLES,
    SCRIPTS,
    commands,
    refusals,
    rules,
    set_user,
    set_users,
    url_of,
)  # fmt: skip


def worker_of(move: Move) -> str:
    """The role of the work: the worker of the queue or that of its dead-letter queue."""
    creates_dead = move.script == "create" and move.after == NO_QUEUE
    return "dead-letter-worker" if move.before_dead.workers or creates_dead else "worker"


def is_of(role: str, move: Move) -> bool:
    return move.script in SCRIPTS[role] and ("worker" not in role or role == worker_of(move))


OWN_MOVES = [(role, move) for role in ROLES for move in MOVES if is_of(role, move)]
OTHERS_MOVES = [("publisher", move) for move in MOVES if move.script != "publish" and move.returns is not False]
OTHERS_MOVES += [("worker", move) for move in MOVES if move.script == "publish"]


def one_of_each_script(moves: list[tuple[str, Move]]) -> list[Any]:
    """The others are nightly: a script that is refused does not get as far as its rows differ."""
    usual = {(role, move.script): move for role, move in reversed(moves)}
    return [
        pytest.param(role, move, marks=[] if usual[role, move.script] is move else [pytest.mark.nightly])
        for role, move in moves
    ]


def binaries() -> list[str]:
    """The server of the other tests, and Debian's server, which may be older."""
    return list(dict.fromkeys(found for found in (server_binary(), shutil.which("redis-server")) if found))


@pytest.fixture(scope="module", params=binaries(), ids=lambda path: path.rpartition("/")[2])
def guarded(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server with all users."""
    server = RedisServer(binary=request.param)
    try:
        with server.client() as admin:
            set_users(admin)
        yield server
    finally:
        server.close()


def is_first(server: RedisServer) -> bool:
    """Whether this is the first server: slow tests of our own code run on one server only."""
    return server.binary == binaries()[0]


@pytest.fixture
def admin(guarded: RedisServer) -> Iterator[Redis]:
    with guarded.client() as client:
        _start_over(client)
        yield client


def _start_over(client: Redis, *, with_scripts: bool = True) -> None:
    client.flushall()
    command(client, "ACL", "LOG", "RESET")
    if with_scripts:
        load_all(client)
    else:
        client.script_flush()


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
    put(admin, QUEUE, move.before)
    put(admin, DEAD, move.before_dead)

    assert move.call(broker_of(role)) == move.returns
    assert (look(admin, QUEUE), look(admin, DEAD)) == (move.after, move.after_dead)
    assert refusals(admin) == []


@pytest.mark.parametrize(("role", "move"), one_of_each_script(OTHERS_MOVES), ids=str)
def test_a_role_cannot_make_transitions_of_other_roles(admin: Redis, broker_of: Any, role: str, move: Move) -> None:
    put(admin, QUEUE, move.before)
    put(admin, DEAD, move.before_dead)
    before = everything(admin)

    with pytest.raises(BrokerRefusesError):
        move.call(broker_of(role))

    assert everything(admin) == before


waiters: list[Any] = []
"""Those who wait for results, so that these are sent."""


@pytest.fixture(autouse=True)
def no_waiters_left() -> Iterator[None]:
    yield
    while waiters:
        waiters.pop().close()


class Act(NamedTuple):
    """An action of a role, and the state that it needs before."""

    prepare: Callable[[RedisServer, Redis], Any]
    do: Callable[[str], Any]


def acts(role: str) -> list[Act]:
    """All actions of a role."""
    return [
        *[_of_move(move) for move in MOVES if is_of(role, move)],
        *[_of_extras(queue) for queue, worker in WORKERS.items() if worker == role],
        *[_of_history(act) for act in HISTORIES.get(role, ())],
        *([_of_dropped_history()] if role == "scheduler" else []),
        *[_of_metrics(queue) for queue, worker in WORKERS.items() if worker == role],
        *[_of_retention(queue) for queue, worker in WORKERS.items() if worker == role],
        *[Act(_fill if role in ("viewer", "inspector") else _create, action) for action in ACTIONS[role]],
    ]


REPORT = " ".join(["1"] * 16) + "\n"
WORKERS = {QUEUE: "worker", DEAD: "dead-letter-worker"}


def _of_extras(queue: str) -> Act:
    """Acks a message that has something beside it."""

    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, queue, held("m1"))
        k = QueueKeys(queue)
        for key in k.beside:
            admin.hset(key, "m1", '{"unique": "m1"}')
        admin.hset(k.unique, "m1", "m1")

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            broker.record(queue, "w1", "m1", progress=b"1", checkpoint=b"2", number=1, output=b"3", profile=b"4")
            broker.checkpoint(queue, "m1")
            broker.claim(queue, "w1", 0, [b"m1"])
        finally:
            broker.connection.drop()

    return Act(prepare, do)


def _gives_back(queue: str) -> Callable[[str], None]:
    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            broker.release(queue, "w1", 1, ["m1"])
        finally:
            broker.connection.drop()

    return do


def _replaces(url: str) -> None:
    with BizzMQ(url) as mq:
        for body in (1, 2):
            mq.publish_message_to_queue(QUEUE, body, MessageOptions(unique_key="k", on_duplicate="replace"))


def _creates(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue(f"{QUEUE}2", QueueOptions(history=True))


HISTORIES = {
    "worker": [_gives_back(QUEUE)], "dead-letter-worker": [_gives_back(DEAD)], "checked-publisher": [_replaces],
    "creator": [_creates],
}  # fmt: skip


def _of_history(do: Callable[[str], None]) -> Act:
    """A transition in a queue that keeps histories."""

    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, QUEUE, held("m1"))
        put(admin, DEAD, held("m1"))
        admin.hset(QueueKeys(QUEUE).extras, "history", "1")

    return Act(prepare, do)


def _of_dropped_history() -> Act:
    """A schedule fires into a full queue that keeps histories."""

    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, QUEUE, one(waiting=("m0",), keeps=("m0",), options=DROPS))
        admin.hset(QueueKeys(QUEUE).extras, "history", "1")

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            firing(occurrence())(broker)
        finally:
            broker.connection.drop()

    return Act(prepare, do)


def _of_metrics(queue: str) -> Act:
    """Adds an old report to the chunks of the metrics."""

    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, queue, Containers())
        admin.hset(QueueKeys(queue).metrics, "r:s1:1", REPORT)

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            assert roll_up_queue(broker, queue)
        finally:
            broker.connection.drop()

    return Act(prepare, do)


def _of_retention(queue: str) -> Act:
    """Deletes dead letters that are too many."""

    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, QUEUE, Containers())
        put(admin, DEAD, Containers(waiting=("m1",), parked=("m2", "m3")))
        admin.hset(QueueKeys(QUEUE).meta, "dead_letter_limit", "1")

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            Retention(broker).enforce(queue)
        finally:
            broker.connection.drop()

    return Act(prepare, do)


def _of_move(move: Move) -> Act:
    def prepare(_server: RedisServer, admin: Redis) -> None:
        put(admin, QUEUE, move.before)
        put(admin, DEAD, move.before_dead)
        for name in move.after.results:
            channel = Keys(QUEUE).result(name)
            waiters.append(admin.pubsub())
            waiters[-1].subscribe(channel)
            eventually(lambda: command(admin, "PUBSUB", "NUMSUB", channel)[1])  # noqa: B023

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            move.call(broker)
        finally:
            broker.connection.drop()

    return Act(prepare, do)


def _create(server: RedisServer, admin: Redis) -> None:
    for queue in ("q", "q_dlq"):
        Broker(Connection(server.url)).create(queue, QueueOptions())
    admin.script_flush()


def _fill(server: RedisServer, admin: Redis) -> None:
    """Messages in all places of a queue and its dead-letter queue, one of them as if by a schedule."""
    _create(server, admin)
    for queue, name in ((QUEUE, "m"), (DEAD, "d")):
        waiting = (f"{name}2", occurrence_id(queue, "s", 0))
        put(admin, queue, held(f"{name}1", waiting=waiting, parked=(f"{name}3",), prioritized={f"{name}4": 1},
                               delayed=(f"{name}5",)))  # fmt: skip
        admin.hset(QueueKeys(queue).metrics, "r:s1:1", REPORT)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
def test_each_command_of_a_line_is_sent_for_each_of_its_keys_and_needed(guarded: RedisServer, role: str) -> None:
    if not is_first(guarded):
        pytest.skip("shown on the other server")
    by_pair: dict[Pair, Act] = {}
    with guarded.client() as admin:
        for act in acts(role):
            _start_over(admin, with_scripts=False)
            act.prepare(guarded, admin)
            with monitored(guarded, admin) as pairs:
                act.do(url_of(guarded, role))
            assert refusals(admin) == []
            for pair in pairs:
                by_pair.setdefault(pair, act)
        try:
            unsent, unmissed = _unneeded(guarded, admin, role, by_pair)
        finally:
            set_user(admin, role, rules(role))

    assert (unsent, unmissed) == ([], [])


def _unneeded(server: RedisServer, admin: Redis, role: str, by_pair: dict[Pair, Act]) -> tuple[list[Pair], list[Pair]]:
    """Pairs of the line that are never sent, and pairs that can be removed without a refusal.

    Actions that the worker of a dead-letter queue shares with that of the queue are tested there, on other keys.
    """
    unsent, unmissed = [], []
    shown = _mirrored() if role == "dead-letter-worker" else set()
    for use in roles.ROLES[role]:
        for name, kind in {*use.pairs()} - shown:
            if (name, kind) not in by_pair:
                unsent.append((name, kind))
                continue
            rest = [one for one in roles.ROLES[role] if one is not use]
            others = roles.Use(use.kinds, tuple(other for other in use.commands if other != name))
            if others.commands:
                rest.append(others)
            set_user(admin, role, [*rules(role)[:3], *acl_rules.rules(rest)])
            _start_over(admin, with_scripts=False)
            act = by_pair[name, kind]
            act.prepare(server, admin)
            with suppress(BizzMQError):
                act.do(url_of(server, role))
            if not refusals(admin):
                unmissed.append((name, kind))
    return unsent, unmissed


def _mirrored() -> set[Pair]:
    return {(name, f"dlq:{kind}") for use in roles.ROLES["worker"] for name, kind in use.pairs()}


def test_an_operator_has_the_commands_of_all_scripts_and_of_the_command() -> None:
    text = "".join(scripts.load(name).source for name in scripts.names())
    called = re.findall(r"redis\.p?call\('(\w+)'", re.sub(r"--.*", "", text))
    in_scripts = {name.lower().replace("pubsub", "pubsub|numsub") for name in called}
    plain = "eval evalsha exec hgetall info multi ping sadd scan smembers srem xadd xrevrange zscan"

    assert commands("operator") == in_scripts | {*plain.split()}


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
def test_everything_else_is_refused(guarded: RedisServer, role: str) -> None:
    own = {pair for use in roles.ROLES[role] for pair in use.pairs()}
    keys = {
        kind: f"bizzmq:{{q}}:{kind}" for use in _all_uses() for kind in use.kinds if kind not in ("*", "queues", "acts")
    }
    keys.update({"queues": "bizzmq:queues", "acts": "bizzmq:acts", "other": "other", "": "x"})
    server = Connection(guarded.url)
    known = _arities(server.execute("COMMAND"))

    permitted = _permitted(server, role, known, keys)

    server.drop()
    may_anybody = {"auth", "hello", "quit", "reset"}
    wrong = {(name, kind) for name, kind in permitted - own if not _is_keyless(name, own) and name not in may_anybody}
    assert {pair for pair in wrong if pair[0] not in ("eval", "evalsha")} == set()
    assert len(known) > 250


def _all_uses() -> Iterator[roles.Use]:
    return (use for role in roles.ROLES.values() for use in role)


def _is_keyless(name: str, own: set[Pair]) -> bool:
    return (name, "") in own


def _permitted(server: Connection, role: str, known: dict[str, int], keys: dict[str, str]) -> set[Pair]:
    """The commands that a role may run, by kind of key."""
    asked = [(name, kind) for name in known for kind in keys]
    calls = []
    for name, kind in asked:
        words = name.split("|")
        arguments = [keys[kind], *["1"] * known[name]]
        if name in ("xread", "xreadgroup"):  # the key is behind a word
            calls.append(("ACL", "DRYRUN", role, name, "STREAMS", keys[kind], "0"))
            continue
        calls.append(("ACL", "DRYRUN", role, *words, *arguments[: max(0, known[name] - len(words))]))
    permitted: set[Pair] = set()
    for first in range(0, len(calls), 1000):
        server.send(*calls[first : first + 1000])
        for pair in asked[first : first + 1000]:
            try:
                if server.read() == b"OK":
                    permitted.add(pair)
            except BrokerReplyError:  # not with these arguments
                continue
    return permitted


def _arities(reply: Any) -> dict[str, int]:
    """All commands of a server with their number of words, subcommands as `config|get`."""
    found: dict[str, int] = {}
    for about in reply:
        subcommands = about[9] if len(about) > 9 else []
        found.update(_arities(subcommands) if subcommands else {about[0].decode().lower(): abs(about[1])})
    return found


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
