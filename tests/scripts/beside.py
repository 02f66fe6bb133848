"""What a queue has beside its messages, and texts of messages, as one value: name -> field -> value.

The names are those of hashes (`checkpoints`, `progress`, `output`, `profiles`, `throttled`), and

* `throttles`: key -> PAST or LATER, when its time is over,
* `history`: id -> its events, see `event`; `ended`: those of a message that is gone but for its result,
* `envelopes`: id -> a whole envelope, only to be written,
* `bodies`: id -> the body, unless that is `"body of ID"`.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Mapping

from redis import Redis

from bizzmq.testing.layout import Keys
from tests.scripts.containers import LATER_MS

Beside = Mapping[str, Mapping[str, Any]]
HASHES = ("checkpoints", "progress", "output", "profiles", "throttled")
PAST, NOW, LATER = "past", "now", "later"
LEFT_OUT = " left out"
MUCH_LATER_MS = 10 * LATER_MS


def event(name: str, *, worker: str = "", delivery: str = "", due: str = "", why: str = "", side: str = "") -> str:
    """A line of a history without its time. `due` is PAST, NOW or LATER."""
    return f"{name}\t{side}\t{worker}\t{delivery}\t{due}\t{why}"


def put_beside(redis: Redis, queue: str, wanted: Beside) -> None:
    """Write this beside the contents of the queue."""
    prefix = Keys(queue).prefix
    now_ms = int(time.time() * 1000)
    for name, fields in sorted(wanted.items()):
        if name == "throttles":
            times = {one: now_ms + (MUCH_LATER_MS if word == LATER else -LATER_MS) for one, word in fields.items()}
            redis.zadd(prefix + name, times)
            redis.pexpire(prefix + name, MUCH_LATER_MS)
            if "throttled" in wanted:
                redis.pexpire(prefix + "throttled", MUCH_LATER_MS)
        elif name == "history":
            for one, events in fields.items():
                left_out = int(events[0].split()[0]) if events[0].endswith(LEFT_OUT) else 0
                lines = [f"{now_ms}\t{line}" for line in events[left_out > 0 :]]
                redis.hset(prefix + name, one, "\n".join([f"{left_out}", *lines]))
        elif name == "envelopes":
            redis.hset(prefix + "messages", mapping=dict(fields))
        else:
            redis.hset(prefix + name, mapping=dict(fields))


def look_beside(redis: Redis, queue: str) -> Beside:
    """What is there now. Names without fields are left out."""
    prefix = Keys(queue).prefix
    now_ms = time.time() * 1000
    found: Dict[str, Dict[str, Any]] = {name: redis.hgetall(prefix + name) for name in HASHES}
    times = dict(redis.zrange(prefix + "throttles", 0, -1, withscores=True))
    found["throttles"] = {one: PAST if score <= now_ms else LATER for one, score in times.items()}
    if LATER in found["throttles"].values():
        left_ms = max(times.values()) - now_ms
        for name in ("throttles", "throttled"):
            assert abs(redis.pttl(prefix + name) - left_ms) < LATER_MS / 2, "both expire with the last key"
    found["history"] = {one: _events(text, now_ms) for one, text in redis.hgetall(prefix + "history").items()}
    found["ended"] = {}
    for key in redis.keys(prefix + "result:*:history"):
        assert LATER_MS / 2 < redis.pttl(key) <= LATER_MS
        found["ended"][key.split(":")[-2]] = _events(redis.get(key), now_ms)
    bodies = {one: text.partition("\n")[2] for one, text in redis.hgetall(prefix + "messages").items()}
    found["bodies"] = {one: body for one, body in bodies.items() if body != f'"body of {one}"'}
    return {name: fields for name, fields in found.items() if fields}


def _events(text: str, now_ms: float) -> tuple[str, ...]:
    left_out, *lines = text.split("\n")
    events = []
    for line in lines:
        when, name, side, worker, delivery, due, why = line.split("\t")
        assert _word(when, now_ms) == NOW
        due = due and _word(due, now_ms)
        events.append(event(name, side=side, worker=worker, delivery=delivery, due=due, why=why))
    return (*([left_out + LEFT_OUT] if left_out != "0" else []), *events)


def _word(time_ms: str, now_ms: float) -> str:
    distance = int(time_ms) - now_ms
    return NOW if abs(distance) < LATER_MS / 2 else LATER if distance > 0 else PAST
