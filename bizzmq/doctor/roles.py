"""The roles of Redis users: the commands that each role sends, and the keys of these commands.

Commands inside scripts are included, because Redis checks each of them. docs/operations/security.md has the same roles
as ACL lines, and tests compare both with the commands that are really sent.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, Iterator, List, NamedTuple, Tuple


class Use(NamedTuple):
    """Commands that a role sends for keys of some kinds.

    Attributes:
        kinds: the ends of the names of the keys, after `bizzmq:{NAME}:`; empty for commands without keys. `queues` is
            the index of all queues, `acts` the log of acts, and `*` any key of a queue.
        commands: the commands, each of which is sent for keys of all these kinds.
    """

    kinds: Tuple[str, ...]
    commands: Tuple[str, ...]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each command with each kind; with "" for a command without a key."""
        return ((name, kind) for name in self.commands for kind in self.kinds or ("",))


def _use(kinds: str, commands: str) -> Use:
    return Use(tuple(kinds.split()), tuple(commands.split()))


_FIXED = "meta messages attempts waiting prioritized delayed parked supervisors workers releases wake stats"
_COUNT = [
    _use("meta dlq:meta", "exists"),
    _use("meta", "hget"),
    _use("messages dlq:messages", "hlen"),
    _use("waiting parked dlq:waiting dlq:parked", "llen"),
    _use("prioritized delayed dlq:prioritized dlq:delayed", "zcard"),
    _use("stats dlq:stats", "hgetall"),
]
_CREATE = [
    _use("queues", "sadd"),
    _use("meta dlq:meta", "exists hdel hexists hget hgetall hset"),
    _use("extras", "hsetnx"),
]
_WORK = [
    _use("meta", "exists hdel hexists hget hgetall hset"),
    _use("messages", "hdel hget hlen hmget"),
    _use("attempts", "hdel hget hlen hmget hset"),
    _use("waiting", "llen lpush lrange ltrim rpush"),
    _use("waiting processing:WORKER", "rpoplpush"),  # both at once
    _use("attempts waiting prioritized delayed processing:WORKER extras pauses", "exists"),  # several at once
    _use("prioritized delayed", "zadd zcard zrangebyscore zrem"),
    _use("prioritized", "zrevrangebyscore"),
    _use("prioritized delayed", "zrange"),
    _use("parked", "llen"),
    _use("suspended", "zcard"),
    _use("processing:WORKER", "del llen lpush lrange lrem ltrim"),
    _use("supervisors", "hdel hexists hget hgetall hincrby hsetnx"),
    _use("workers", "hdel hexists hgetall hlen hset"),
    _use("releases", "hdel hget hlen hset"),
    _use("wake", "bzpopmin zadd zcard"),
    _use("stats", "hgetall hincrby hlen hmget"),
    _use("due", "exists"),
    _use("pool:POOL", "del set"),
    _use("metrics", "hdel hget hkeys hmget hset pexpire"),
    _use("requests", "hdel hget hgetall"),
    _use("answer:REQUEST", "set"),
]
_VIEW = [
    _use("", "ping info time multi exec"),
    _use("queues", "smembers"),
    *_COUNT,
    _use("suspended", "zcard"),
    _use("pauses", "hgetall"),
    _use("meta dlq:meta", "hgetall"),
    _use(f"{_FIXED} {' '.join(f'dlq:{kind}' for kind in _FIXED.split())}", "type"),
    _use("supervisors workers dlq:supervisors dlq:workers", "hgetall"),
    _use("metrics dlq:metrics", "hget hkeys hmget"),
    _use("pool:POOL dlq:pool:POOL", "get"),
    _use("waiting dlq:waiting", "lrange"),
    _use("prioritized dlq:prioritized", "zrange"),
]
_SHARED = ("extras", "pauses")


def _of_dead_letters(kind: str) -> str:
    """The kind of a dead-letter queue's key; both queues share some."""
    return kind if kind in _SHARED else f"dlq:{kind}"


_FORGET = [
    _use("extras", "hdel hmget"),
    _use("unique", "hdel hmget"),
    _use("checkpoints progress history output profiles", "hdel"),
    _use("cancels", "hdel hmget"),
]
_RECORD = [
    _use("extras", "hsetnx"),
    _use("checkpoints", "hget hlen hset"),
    _use("progress", "hlen hset"),
    _use("output", "hset"),
    _use("profiles", "hkeys hset"),
]
_NOTE = [_use("history", "hget hset")]
"""What the scripts of a queue that keeps histories send besides."""
_PUBLISH = [
    _use("", "ping time multi exec wait eval evalsha"),
    _use("messages attempts", "hset"),
    _use("waiting", "lpush"),
    _use("prioritized delayed wake", "zadd"),
    _use("prioritized", "zrevrangebyscore"),
    _use("stats", "hincrby"),
    _use("attempts stats", "hlen"),
    _use("wake", "zcard"),
    _use("meta", "hgetall hmget"),
    _use("publisher:NONCE", "expire get set"),
    *_COUNT,
]
_CHECK = [  # messages that are unique or expire, and queues that drop messages
    _use("waiting", "lrange ltrim"),
    _use("prioritized", "zrange zrangebyscore zrem"),
    _use("delayed", "zrange zrem zscore"),
    _use("workers", "hkeys"),
    _use("processing:WORKER", "lrange"),
    _use("extras pauses", "exists"),  # both at once
    _use("extras", "hdel hget hlen hmget hset"),
    _use("unique", "hdel hlen hmget hset"),
    _use("checkpoints progress history output profiles cancels", "hdel"),
    _use("throttles", "pexpire zadd zrange zrangebyscore zrem zscore"),
    _use("throttled", "hdel hmget hset pexpire"),
    _use("", "pubsub|numsub"),
    _use("result:MESSAGE", "del set"),
    _use("result:MESSAGE", "publish"),
]
ROLES: Dict[str, List[Use]] = {
    "publisher": _PUBLISH,
    "checked-publisher": [
        *_PUBLISH,
        _use("messages", "hdel hexists hmget"),
        _use("attempts", "hdel hget"),
        *_CHECK,
        _use("extras", "hsetnx"),
        *_NOTE,
    ],
    "waiter": [
        _use("", "ping multi exec unsubscribe"),
        _use("meta", "hget"),
        _use("messages", "hexists"),
        _use("result:MESSAGE", "get mget"),
        _use("result:MESSAGE", "subscribe"),
    ],
    "creator": [_use("", "ping time eval evalsha"), *_CREATE],
    "scheduler": [
        _use("", "time multi exec eval evalsha"),
        _use("meta", "exists hget"),
        _use("messages", "hexists hlen hsetnx"),
        _use("attempts", "hlen hset"),
        _use("waiting", "llen lpush"),
        _use("prioritized delayed wake", "zadd zcard"),
        _use("prioritized", "zrevrangebyscore"),
        _use("stats", "hincrby hlen"),
        _use("schedules", "hexists hget hgetall hset"),
        _use("due", "exists zadd zcard zrange zrangebyscore zscore"),
        _use("fires", "hdel hget hgetall hlen hset"),
        _use("messages", "hdel hmget"),
        _use("attempts", "hdel"),
        *_CHECK,
        _use("history", "hget"),
    ],
    "worker": [
        _use("", "ping info time multi exec pubsub|numsub eval evalsha"),
        _use("queues", "sadd"),
        *_WORK,
        *_FORGET,
        *_RECORD,
        *_NOTE,
        _use("pauses", "hdel hget hgetall hlen hset"),
        _use("suspended", "zadd zrem zrevrangebyscore"),
        _use("dlq:meta", "exists hlen hset"),
        _use("dlq:messages", "hdel hget hlen hset"),
        _use("dlq:attempts", "hdel hlen"),
        _use("dlq:waiting", "llen lpush lrange lrem"),
        _use("dlq:parked", "lrange lrem"),
        _use("dlq:wake", "zadd zcard"),
        _use("dlq:stats", "hincrby hlen"),
        _use("result:MESSAGE", "del set"),
        _use("result:MESSAGE", "publish"),
    ],
    "dead-letter-worker": [
        _use("", "ping info time multi exec eval evalsha"),
        _use("queues", "sadd"),
        _use("meta", "hget"),
        _use("stats", "hgetall"),
        *[Use(tuple(map(_of_dead_letters, use.kinds)), use.commands) for use in _WORK],
        *_FORGET,
        *_RECORD,
        *_NOTE,
        _use("pauses", "hgetall"),
        _use("dlq:meta", "hlen"),
        _use("dlq:messages", "hset"),
        _use("dlq:parked", "lpush lrange lrem"),
        _use("dlq:waiting", "lrem"),
    ],
    "viewer": _VIEW,
    "inspector": [
        *_VIEW,
        _use("messages attempts dlq:messages dlq:attempts", "hget hmget"),
        _use("extras progress cancels history output profiles", "hget"),
        _use("schedules", "hkeys"),
        _use("processing:WORKER dlq:parked dlq:processing:WORKER", "lrange"),
        _use("processing:WORKER dlq:processing:WORKER", "llen"),
        _use("delayed suspended dlq:delayed", "zrange"),
        _use("prioritized delayed suspended dlq:prioritized dlq:delayed dlq:suspended", "zscore"),
        _use("result:MESSAGE", "get"),
    ],
    "operator": [
        _use("", "ping info time multi exec pubsub|numsub eval evalsha scan"),
        _use("result:MESSAGE", "publish"),
        _use(
            "* queues",
            "del exists get hdel hexists hget hgetall hincrby hkeys hlen hmget hscan hset hsetnx llen lpos "
            "lpush lrange lrem ltrim pexpire rpoplpush rpush sadd set smembers srem type unlink zadd zcard zrange "
            "zrangebyscore zrevrangebyscore zrem zscan zscore",
        ),
        _use("acts", "xadd xrevrange"),
    ],
}
GROUPS = {"sentinel": _use("", "role"), "cluster": _use("", "cluster|slots asking client|id client|unblock")}
"""The further commands that each role sends to Sentinel or to a cluster, by the kind of the URL."""

OPTIONAL = {
    "bzpopmin": "idle workers poll, so a message may wait up to half a second longer",
    "exec": "counts of a busy queue are not consistent, and a wait for a result sends a request more",
    "expire": "MessageOptions(confirm=...) cannot be used",
    "info": "there is no warning about a server that evicts messages",
    "multi": "counts of a busy queue are not consistent, and a wait for a result sends a request more",
    "ping": "the doctor cannot measure the latency",
    "publish": "who waits for a result learns of it up to five seconds later",
    "pubsub|numsub": "who waits for a result learns of it up to five seconds later",
    "subscribe": "results are polled for, so a wait may take half a second longer",
    "unsubscribe": "results are polled for, so a wait may take half a second longer",
    "wait": 'MessageOptions(confirm="replicas:N") cannot be used',
    "xadd": "nobody can act on the dashboard, because acts are recorded",
    "xrevrange": "the dashboard cannot show the log of acts",
}
"""Commands that are not essential, and what does not work without them."""


@lru_cache(maxsize=None)
def needed(role: str, url_kind: str = "") -> tuple[str, ...]:
    """The commands that a role sends, sorted. `url_kind` is the kind of the URL: "", `sentinel` or `cluster`."""
    uses = [*ROLES[role], *([GROUPS[url_kind]] if url_kind in GROUPS else [])]
    return tuple(sorted({name for use in uses for name in use.commands}))
