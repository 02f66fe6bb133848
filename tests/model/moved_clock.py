"""A clock that tests move: the scripts read a key in place of Redis's clock."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

from redis import Redis

from bizzmq.broker import scripts
from bizzmq.broker.scripts import Script

_KEY = "moved-clock"
_OWN = """local time = redis.call('TIME')
    read_ms = time[1] * 1000 + math.floor(time[2] / 1000)"""
_MOVED = f"read_ms = tonumber(redis.call('GET', '{_KEY}'))"
_load = scripts.load


@lru_cache(maxsize=None)
def load(name: str) -> Script:
    """A script that reads the moved clock, in place of `scripts.load`."""
    script = _load(name)
    if "time" not in script.includes:
        return script
    assert script.source.count(_OWN) == 1
    source = script.source.replace(_OWN, _MOVED)
    return replace(script, source=source, digest=hashlib.sha1(source.encode()).hexdigest())


def set_clock(redis: Redis, now_ms: int) -> None:
    """Set the clock of all scripts that `load` has returned."""
    redis.set(_KEY, now_ms)
