"""The ACL rules that permit what a role sends, as selectors of Redis 7."""

from __future__ import annotations

import re
from typing import Sequence

from bizzmq.doctor.roles import Use
from bizzmq.protocol import keys

_SHARED_KEYS = {"queues": keys.INDEX, "acts": keys.ACTS}
"""Kinds of keys that belong to no queue: the name of each."""
_SCRIPTS = ("eval", "evalsha")
CHANNEL_COMMANDS = frozenset(("publish", "subscribe"))
"""Commands whose kinds are those of channels, which have the names of keys."""
_READS = (
    "exists get hkeys hexists hget hgetall hlen hmget llen lrange mget smembers type "
    "zcard zrange zrevrangebyscore zscore"
)
_WRITES = "expire hdel hset hsetnx lpush lrem ltrim rpush sadd set zadd zrem"


def rules(uses: Sequence[Use], owners: Sequence[str] = ("*",)) -> list[str]:
    """The ACL rules of Redis 7 that permit these uses.

    Args:
        owners: patterns of the names of queues.
    """
    found: list[str] = []
    for use in uses:
        if use.kinds:
            found.append(_selector(use.commands, _patterns(use, owners)))
            continue
        found += [f"+{name}" for name in use.commands if name not in _SCRIPTS]
        scripts = [name for name in use.commands if name in _SCRIPTS]
        if scripts:  # a key of a script needs no access right: Redis checks each command in the script
            found.append(_selector(scripts, [f"~bizzmq:{{{owner}}}:*" for owner in owners]))
    return found


def _selector(commands: Sequence[str], patterns: Sequence[str]) -> str:
    return f"({' '.join([*(f'+{name}' for name in commands), *patterns])})"


def _patterns(use: Use, owners: Sequence[str]) -> list[str]:
    if CHANNEL_COMMANDS.issuperset(use.commands):
        return [f"&{name}" for name in _names(use, owners)]
    access = "%R" if {*use.commands} <= {*_READS.split()} else "%W" if {*use.commands} <= {*_WRITES.split()} else ""
    return [f"{access}~{name}" for name in _names(use, owners)]


def _names(use: Use, owners: Sequence[str]) -> list[str]:
    names: list[str] = []
    for kind in use.kinds:
        if kind in _SHARED_KEYS:
            names.append(_SHARED_KEYS[kind])
        else:
            ending = re.sub("WORKER|NONCE|MESSAGE|POOL|REQUEST", "*", kind)
            names += [f"bizzmq:{{{owner}}}:{ending}" for owner in owners]
    return names
