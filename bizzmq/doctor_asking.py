"""Asking a server what a user may do, without doing it."""

from __future__ import annotations

import re
from typing import Any, Callable, Sequence

from bizzmq import keys
from bizzmq.connection import Connection
from bizzmq.errors import BrokerFullError, BrokerReplyError
from bizzmq.server_info import REFUSED
from bizzmq.slots import key_of

_ARGUMENTS: dict[str, Sequence[Any]] = {
    "client|unblock": (0,), "eval": ("return 1", 1), "evalsha": ("0" * 40, 1),
    "scan": (0,), "sadd": (keys.INDEX, "v"), "smembers": (keys.INDEX,), "wait": (0, 1),
}  # fmt: skip
_BY_TYPE: dict[str, dict[str, Sequence[Any]]] = {
    "hash": {
        "hdel": ("f",), "hexists": ("f",), "hget": ("f",), "hgetall": (), "hincrby": ("f", 0), "hkeys": (), "hlen": (),
        "hmget": ("f",), "hscan": (0,), "hset": ("f", "v"), "hsetnx": ("f", "v"),
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
    "string": {"expire": (120,), "get": (), "set": ("v",)},
    "": {"del": (), "exists": (), "type": ()},
}  # fmt: skip
"""Commands by the type of the key that comes first among their arguments, with the others; "" fits any key."""

_KINDS = {"hash": "meta", "list": "waiting", "zset": "wake", "string": "publisher:NONCE", "": "meta"}

Ask = Callable[[Sequence[Any]], str]
"""Why a command is not permitted; "" if it is."""


def sample(name: str, kind: str, base: str = keys.PROBE) -> Sequence[Any]:
    """A way to call a command on a key of this kind, or without one; `base` begins its name."""
    for wanted, commands in _BY_TYPE.items():
        if name in commands:
            key = base + (kind if kind != "*" else _KINDS[wanted])
            if name == "rpoplpush":
                return [name, key, re.sub("[a-z]+(:WORKER)?$", "processing:WORKER", key)]
            return [name, key, *commands[name]]
    keyed = [base + "meta"] if name in ("eval", "evalsha") else []
    return [*name.split("|"), *_ARGUMENTS.get(name, ()), *keyed]


def asker(connection: Connection) -> Ask | None:
    """The way to ask that is permitted itself, each thing once; None if there is none."""
    try:
        user = connection.execute("ACL", "WHOAMI")
        connection.execute("ACL", "DRYRUN", user, "PING")
    except REFUSED:
        return _queueing(connection)
    return _once(lambda words: _dry_run(connection, user, words))


def _once(ask: Ask) -> Ask:
    known: dict[tuple[Any, ...], str] = {}

    def answer(words: Sequence[Any]) -> str:
        key = tuple(words)
        if key not in known:
            known[key] = ask(words)
        return known[key]

    return answer


def is_about_keys(why: str) -> bool:
    """Whether it was for its keys that a command is not permitted."""
    return "access" in why.lower() and "key" in why.lower()


def _dry_run(connection: Connection, user: bytes, words: Sequence[Any]) -> str:
    try:
        reply: bytes = connection.execute("ACL", "DRYRUN", user, *words)
    except BrokerReplyError as error:
        return str(error)  # there is no such command, or no longer
    return "" if reply == b"OK" else reply.decode("utf-8", "backslashreplace")


def _queueing(connection: Connection) -> Ask | None:
    """A transaction refuses what is not permitted when it is queued; it is thrown away, so that nothing runs."""
    try:
        connection.execute("MULTI")
    except REFUSED:
        return None
    connection.drop()
    return _once(lambda words: _queue(connection, words))


def _queue(connection: Connection, words: Sequence[Any]) -> str:
    if words == ["multi"]:
        return ""  # else nobody would ask like this
    try:
        server = connection.at(str(key_of(words) or ""))
        server.execute_all(("MULTI",), words)  # at once, so that the second one cannot be sent without the first
    except BrokerFullError:
        return ""  # it is permitted: that is looked at first
    except REFUSED as error:
        return str(error)
    finally:
        connection.drop()  # and with it the transaction: DISCARD may be refused, too
    return ""
