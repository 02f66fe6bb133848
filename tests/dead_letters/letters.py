"""Dead letters that tests store without a worker."""

from __future__ import annotations

import json
import time
from typing import Any

from redis import Redis

from bizzmq.testing.layout import Keys

TRACE = 'Traceback (most recent call last):\n  File "/app/tasks.py", line 3, in {0}\n    {0}()\n{1}: no'


def record(error_type: str = "ValueError", function: str = "send", *, error: str = "no", **more: Any) -> dict[str, Any]:
    """An error record as a worker writes it. `failed_s` is how long ago it failed, seconds."""
    at_s = time.time() - more.pop("failed_s", 0)
    failed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    trace = TRACE.format(function, error_type)
    return {"error_type": error_type, "error": error, "traceback": trace, "failed_at": failed_at, **more}


def message_id(number: int, *, age_s: float = 0.0) -> str:
    """An id as a publisher makes it."""
    return f"{int((time.time() - age_s) * 1e6):013x}{number:07d}"


def bury(redis: Redis, *records: dict[str, Any], queue: str = "q", place: str = "waiting", **options: Any) -> list[str]:
    """Store dead letters with these records, oldest first. Their ids are as old as they are."""
    dead = Keys(f"{queue}_dlq")
    redis.hsetnx(dead.meta, "layout", "1")
    redis.hsetnx(dead.meta, "retry", "0")
    ids = []
    for one in records:
        age_s = one.pop("age_s", 1.0)
        new = message_id(int(redis.incr("number")), age_s=age_s)
        header = f"1\t{json.dumps(options, separators=(',', ':'))}\t{json.dumps(one, separators=(',', ':'))}"
        redis.hset(dead.messages, new, f'{header}\n{{"n":{len(ids)}}}')
        if place in ("waiting", "parked"):
            redis.lpush(getattr(dead, place), new)
        else:
            redis.zadd(getattr(dead, place), {new: 0})
        for total in ("published", "dead_lettered"):
            redis.hincrby(Keys(queue).stats, total, 1)
        ids.append(new)
    return ids
