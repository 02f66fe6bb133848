"""What the doctor says about permissions: which commands this user lacks, by what it is meant for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Iterator, Mapping, Sequence

from bizzmq import keys, scripts
from bizzmq.connection import Connection
from bizzmq.doctor_finding import Facts, Finding, fail, ok, warn
from bizzmq.errors import BrokerFullError, BrokerReplyError
from bizzmq.server_info import REFUSED

PROBE = "bizzmq:{bizzmq-doctor}:probe"
"""A key that is named to ask for permission, and never written."""

SCRIPTS = {
    "publisher": ("create", "publish"),
    "worker": ("beat", "claim", "create", "dead_letter", "discard", "evict", "register", "release", "requeue", "retry"),
    "operator": tuple(scripts.names()),
}
_ASKED = {
    "publisher": "eval evalsha ping sadd time",
    "worker": "bzpopmin eval evalsha exec exists hget hgetall hlen llen multi sadd zcard",
    "operator": "eval evalsha exec exists hexists hget hgetall hkeys hlen hmget llen lrange multi ping sadd scan "
    "smembers time type zcard zrange zscan",
}
_ASKED_OF_GROUPS = {"cluster": "cluster|slots client|id client|unblock", "sentinel": "role"}
_NAMES = {"publisher": "a publisher", "worker": "a worker", "operator": "an operator"}
_ARGUMENTS: dict[str, Sequence[Any]] = {
    "bzpopmin": (PROBE, 1), "client|unblock": (0,), "del": (PROBE,), "eval": ("return 1", 0),
    "evalsha": ("0" * 40, 0), "exists": (PROBE,), "get": (PROBE,), "hdel": (PROBE, "f"), "hexists": (PROBE, "f"),
    "hget": (PROBE, "f"), "hgetall": (PROBE,), "hincrby": (PROBE, "f", 0), "hkeys": (PROBE,), "hlen": (PROBE,),
    "hmget": (PROBE, "f"), "hscan": (PROBE, 0), "hset": (PROBE, "f", "v"), "hsetnx": (PROBE, "f", "v"),
    "llen": (PROBE,), "lpos": (PROBE, "v"), "lpush": (PROBE, "v"), "lrange": (PROBE, 0, 0), "lrem": (PROBE, 0, "v"),
    "ltrim": (PROBE, 0, -1), "rpush": (PROBE, "v"), "sadd": (keys.INDEX, "v"), "scan": (0,), "set": (PROBE, "v"),
    "smembers": (keys.INDEX,), "type": (PROBE,), "zadd": (PROBE, 0, "m"), "zcard": (PROBE,),
    "zrange": (PROBE, 0, 0), "zrangebyscore": (PROBE, 0, 0), "zrem": (PROBE, "m"), "zscan": (PROBE, 0),
    "zscore": (PROBE, "m"),
}  # fmt: skip
_ALL_KEYS = "~bizzmq:*"


@lru_cache(maxsize=None)
def needed(role: str, address: str = "") -> tuple[str, ...]:
    """The commands that a role uses, those inside of its scripts included, sorted."""
    asked = set(_ASKED[role].split()) | set(_ASKED_OF_GROUPS.get(address, "").split())
    return tuple(sorted(asked.union(*[_commands_of(name) for name in SCRIPTS[role]])))


@lru_cache(maxsize=None)
def _commands_of(script: str) -> frozenset[str]:
    """The commands that a script may run: not those of shared functions that it does not call."""
    code = re.sub(r"--.*", "", scripts.load(script).source)
    functions = dict(re.findall(r"^local function (\w+)(.*?)^end", code, flags=re.MULTILINE | re.DOTALL))
    text = re.sub(r"^local function \w+.*?^end", "", code, flags=re.MULTILINE | re.DOTALL)
    called: set[str] = set()
    while True:
        fresh = {name for name in functions if re.search(rf"\b{name}\b", text)} - called
        if not fresh:
            return frozenset(name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", text))
        called |= fresh
        text += "".join(functions[name] for name in fresh)


def permissions(facts: Facts) -> Iterator[Finding]:
    """Which roles this user can have."""
    if facts.version()[:1] == (5,):
        yield ok("permissions", "Redis 5 has no users of its own: whoever connects may do everything")
        return
    every = sorted({name for role in SCRIPTS for name in needed(role, facts.address)})
    denied = _ask(facts, every)
    if denied is None:
        yield warn("permissions", "this user may neither ACL DRYRUN nor MULTI, so what it may do cannot be asked",
                   "for the doctor: +multi +discard")  # fmt: skip
        return
    lacks = {role: _missing(denied, needed(role, facts.address)) for role in SCRIPTS}
    for role, rules in lacks.items():
        do = f"ACL SETUSER NAME {' '.join(rules)}"
        if not rules:
            yield ok("permissions", f"may do all that {_NAMES[role]} does")
        elif all(lacks.values()):
            yield fail("permissions", f"may not do all that {_NAMES[role]} does", do)
        else:
            yield warn("permissions", f"may not do all that {_NAMES[role]} does",
                       f"nothing, unless it is meant to; then: {do}")  # fmt: skip


def _missing(denied: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The rules that would permit these commands."""
    by_key = any(_is_about_keys(denied[name]) for name in names if name in denied)
    rules = [f"+{name}" for name in names if name in denied and not _is_about_keys(denied[name])]
    return [_ALL_KEYS, *rules] if by_key else rules


def _is_about_keys(why: str) -> bool:
    return "access" in why.lower() and "key" in why.lower()


def _ask(facts: Facts, names: Sequence[str]) -> dict[str, str] | None:
    """Command -> why not, for what is not permitted with our keys; None if there is no way to ask."""
    try:
        user = facts.connection.execute("ACL", "WHOAMI")
        facts.connection.execute("ACL", "DRYRUN", user, "PING")
    except REFUSED:
        return _ask_by_queueing(facts, names)
    replies = {name: _dry_run(facts.connection, user, name) for name in names}
    return {name: reply for name, reply in replies.items() if reply != "OK"}


def _dry_run(connection: Connection, user: bytes, name: str) -> str:
    try:
        reply: bytes = connection.execute("ACL", "DRYRUN", user, *_sample(name))
        return reply.decode("utf-8", "backslashreplace")
    except BrokerReplyError as error:
        return str(error)  # there is no such command, or no longer


def _ask_by_queueing(facts: Facts, names: Sequence[str]) -> dict[str, str] | None:
    """A transaction refuses what is not permitted when it is queued; it is thrown away, so that nothing runs."""
    connection = facts.connection
    denied: dict[str, str] = {}
    for name in names:
        if name in ("multi", "exec"):
            continue
        try:
            connection.execute("MULTI")
        except REFUSED:
            return None
        try:
            connection.execute(*_sample(name))
        except BrokerFullError:
            pass  # it is permitted: that is looked at first
        except REFUSED as error:
            denied[name] = str(error)
        finally:
            connection.drop()  # and with it the transaction: DISCARD may be refused, too
    try:
        connection.execute("MULTI")
        connection.execute("EXEC")
    except REFUSED as error:
        denied["exec"] = str(error)
        connection.drop()
    return denied


def _sample(name: str) -> list[Any]:
    return [*name.split("|"), *_ARGUMENTS.get(name, ())]
