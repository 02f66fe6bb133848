"""Ask a server which commands a user may execute, without executing them."""

from __future__ import annotations

import re
from typing import Any, Callable, Optional, Sequence

from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.slots import key_of
from bizzmq.doctor.server_info import REFUSED
from bizzmq.errors import BrokerFullError, BrokerReplyError
from bizzmq.protocol import keys

_ARGUMENTS: dict[str, Sequence[Any]] = {
    "client|unblock": (0,), "eval": ("return 1", 1), "evalsha": ("0" * 40, 1),
    "scan": (0,), "sadd": (keys.INDEX, "v"), "smembers": (keys.INDEX,), "srem": (keys.INDEX, "v"), "wait": (0, 1),
    "xadd": (keys.ACTS, "*", "f", "v"), "xrevrange": (keys.ACTS, "+", "-"),
}  # fmt: skip
_BY_TYPE: dict[str, dict[str, Sequence[Any]]] = {
    "hash": {
        "hdel": ("f",), "hexists": ("f",), "hget": ("f",), "hgetall": (), "hincrby": ("f", 0), "hkeys": (), "hlen": (),
        "hmget": ("f",), "pexpire": (1,), "hscan": (0,), "hset": ("f", "v"), "hsetnx": ("f", "v"),
    },
    "list": {
        "llen": (), "lpos": ("v",), "lpush": ("v",), "lrange": (0, 0), "lrem": (0, "v"), "ltrim": (0, -1),
        "rpoplpush": (), "rpush": ("v",),
    },
    "zset": {
        "bzpopmin": (1,), "zadd": (0, "m"), "zcard": (), "zrange": (0, 0), "zrangebyscore": (0, 0),
        "zrevrangebyscore": (0, 0), "zrem": ("m",),
        "zscan": (0,), "zscore": ("m",),
    },
    "string": {
        "expire": (120,), "get": (), "mget": (), "publish": ("v",), "set": ("v",), "subscribe": (),
    },
    "": {"del": (), "exists": (), "type": (), "unlink": ()},
}  # fmt: skip
"""Commands with the arguments after the key, grouped by the type of the key; "" is for keys of any type."""

_KINDS = {
    "hash": "meta",
    "list": "waiting",
    "zset": "wake",
    "string": "publisher:NONCE",
    "": "meta",
}

Ask = Callable[[Sequence[Any]], Optional[str]]
"""A function that returns why a command is not permitted; None if it is."""


def sample(name: str, kind: str, base: str = keys.PROBE) -> Sequence[Any]:
    """An example call of a command, on a key of this kind if it takes one. `base` is the prefix of the key."""
    for wanted, commands in _BY_TYPE.items():
        if name in commands:
            key = base + (kind if kind != "*" else _KINDS[wanted])
            if name == "rpoplpush":
                return [name, key, re.sub("[a-z]+(:WORKER)?$", "processing:WORKER", key)]
            return [name, key, *commands[name]]
    keyed = [base + "meta"] if name in ("eval", "evalsha") else []
    return [*name.split("|"), *_ARGUMENTS.get(name, ()), *keyed]


def probe_of(connection: Connection) -> Ask | None:
    """A function that asks for the permission of a command, once for each; None if this user may not even ask."""
    try:
        user = connection.execute("ACL", "WHOAMI")
        connection.execute("ACL", "DRYRUN", user, "PING")
    except REFUSED:
        return _queueing(connection)
    return _once(lambda words: _dry_run_problem(connection, user, words))


def _once(ask: Ask) -> Ask:
    known: dict[tuple[Any, ...], str | None] = {}

    def answer(words: Sequence[Any]) -> str | None:
        key = tuple(words)
        if key not in known:
            known[key] = ask(words)
        return known[key]

    return answer


def is_about_names(why: str) -> bool:
    """Whether a command is not permitted because of its keys or channels."""
    return "access" in why.lower() and ("key" in why.lower() or "channel" in why.lower())


def _dry_run_problem(connection: Connection, user: bytes, words: Sequence[Any]) -> str | None:
    try:
        reply: bytes = connection.execute("ACL", "DRYRUN", user, *words)
    except BrokerReplyError as error:
        return str(error)  # the server does not have the command
    return None if reply == b"OK" else reply.decode("utf-8", "backslashreplace")


def _queueing(connection: Connection) -> Ask | None:
    """Ask through transactions: they refuse a command when it is queued, and are discarded, so that nothing runs."""
    try:
        connection.execute("MULTI")
    except REFUSED:
        return None
    connection.drop()
    return _once(lambda words: _queueing_problem(connection, words))


def _queueing_problem(connection: Connection, words: Sequence[Any]) -> str | None:
    if words == ["multi"]:
        return None  # without it, this function would not be used
    try:
        server = connection.at(str(key_of(words) or ""))
        server.execute_all(("MULTI",), words)  # in one write, so that the second is never sent without the first
    except BrokerFullError:
        return None  # it is permitted: the server checks that first
    except REFUSED as error:
        return str(error)
    finally:
        connection.drop()  # this discards the transaction: DISCARD may be refused, too
    return None
