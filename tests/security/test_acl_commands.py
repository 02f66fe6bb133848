"""Each role's line has the commands that the library sends for each key, and no other."""

from __future__ import annotations

import re
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
from bizzmq.errors import BizzMQError, BrokerReplyError
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.protocol.ids import occurrence_id
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.scripts.containers import Containers, put
from tests.scripts.moves import DEAD, QUEUE, Move, held
from tests.scripts.table_schedules import DROPS, firing, occurrence, one
from tests.scripts.test_moves import MOVES, given
from tests.security.acl_server import _start_over, admin, binaries, guarded, is_of, no_waiters_left, waiters
from tests.security.monitor import Pair, monitored
from tests.security.role_commands import ACTIONS
from tests.security.roles import ROLES, commands, refusals, rules, set_user, url_of

__all__ = ["admin", "guarded", "no_waiters_left"]


def is_first(server: RedisServer) -> bool:
    """Whether this is the first server: slow tests of our own code run on one server only."""
    return server.binary == binaries()[0]


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
        given(admin, move)
        for name in move.after.results:
            channel = Keys(QUEUE).result(name)
            waiters.append(admin.pubsub())
            waiters[-1].subscribe(channel)
            eventually(lambda: command(admin, "PUBSUB", "NUMSUB", channel)[1])  # noqa: B023

    def do(url: str) -> None:
        broker = Broker(Connection(url))
        try:
            move.without_reading[0](broker)
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
