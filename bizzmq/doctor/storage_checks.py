"""Checks of how the server keeps messages: persistence, eviction, memory, replication."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor.findings import FULL, NEARLY_FULL, Finding, ServerFacts, fail, ok, warn
from bizzmq.doctor.server_info import NO_EVICTION

_AOF = "CONFIG SET appendonly yes, and `appendonly yes` in its configuration file"
_FSYNC = {
    "always": "the append-only file is on disk before each reply: a crash loses nothing that was confirmed",
    "everysec": "the append-only file is flushed each second: a crash of the machine loses up to the last 2 seconds, "
    "a crash of the server alone nothing",
    "no": "the kernel decides when the append-only file is flushed: a crash of the machine loses about the last 30 "
    "seconds, a crash of the server alone nothing",
}
_HOLDS_SCRIPTS = (7, 0)


def persistence(facts: ServerFacts) -> Iterator[Finding]:
    """Which messages a crash of the server loses."""
    info = facts.info("persistence")
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield fail("persistence", "the last write to disk has failed, and the server may refuse all writes",
                   "see the server's log; usually its disk is full or its directory is not writable")  # fmt: skip
    aof = info.get("aof_enabled") or {"yes": "1", "no": "0"}.get(facts.config("appendonly") or "")
    if aof is None:
        return
    if aof == "1":
        fsync = facts.config("appendfsync")
        if fsync is None:
            yield warn(
                "persistence",
                "there is an append-only file, but it is unknown how often it is flushed: a crash of "
                "the machine loses nothing, 2 seconds or 30 seconds",
                "make sure that appendfsync is not `no`",
            )
        elif fsync == "no":
            yield warn("persistence", _FSYNC[fsync], "CONFIG SET appendfsync everysec, and in its configuration file")
        else:
            yield ok("persistence", _FSYNC.get(fsync, f"append-only file, appendfsync {fsync}"))
        return
    save = facts.config("save")
    if save is None:
        yield warn("persistence", "no append-only file; it is unknown whether there are snapshots: a crash loses "
                   "everything since the last one", _AOF)  # fmt: skip
    elif save:
        pairs = save.split()
        rules = ", ".join(f"{changes} in {seconds} s" for seconds, changes in zip(pairs[::2], pairs[1::2]))
        unsaved = facts.number("persistence", "rdb_changes_since_last_save") or 0
        yield warn("persistence", f"snapshots only (changes: {rules}): a crash loses everything since the last one, "
                   f"now {unsaved:,} changes", _AOF)  # fmt: skip
    else:
        yield warn("persistence", "nothing is written to disk: a restart of the server loses every message", _AOF)


def eviction(facts: ServerFacts) -> Iterator[Finding]:
    """Whether the server may evict messages."""
    policy = facts.info("memory").get("maxmemory_policy") or facts.config("maxmemory-policy")
    if policy is None:
        return
    if policy == NO_EVICTION:
        yield ok("eviction", "nothing is evicted: a full server refuses to publish, and loses nothing")
        return
    do = "CONFIG SET maxmemory-policy noeviction, and in its configuration file; put caches on another server"
    if facts.number("memory", "maxmemory") == 0:
        yield warn("eviction", f"maxmemory-policy is {policy}: with a memory limit, which is not set now, messages "
                   "would be evicted", do)  # fmt: skip
    else:
        yield fail("eviction", f"maxmemory-policy is {policy}: when the memory is full, messages are evicted", do)


def memory(facts: ServerFacts) -> Iterator[Finding]:
    """How much memory is left."""
    used, limit = facts.number("memory", "used_memory"), facts.number("memory", "maxmemory")
    if used is None or limit is None:
        return
    if limit:
        what = f"{_mb(used)} of maxmemory {_mb(limit)} are used ({used / limit:.0%})"
        do = "raise maxmemory, or find out why messages pile up (bizzmq queues)"
        if used > FULL * limit:
            yield fail("memory", f"full: {what}; it refuses to publish, or will soon", do)
        elif used > NEARLY_FULL * limit:
            yield warn("memory", f"nearly full: {what}; a full server refuses to publish", do)
        else:
            yield ok("memory", what)
        return
    total = facts.number("memory", "total_system_memory") or 0
    what = f"{_mb(used)} are used, of {_mb(total)} in the machine; maxmemory is not set"
    do = "set maxmemory below the machine's memory, so that a full server refuses to publish instead of being killed"
    yield (warn if total and used > NEARLY_FULL * total else ok)("memory", what, do)


def replication(facts: ServerFacts) -> Iterator[Finding]:
    """Whether the server accepts writes, and whether replicas have them, too."""
    info = facts.info("replication")
    if not info:
        return
    if info.get("role") != "master":
        master = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        yield fail("replication", f"this is a replica of {master}: it refuses writes, or would lose them",
                   "use the master's URL, or redis+sentinel://, which always finds it")  # fmt: skip
        return
    lines = [info[f"slave{number}"] for number in range(64) if f"slave{number}" in info]
    online = sum("state=online" in line for line in lines)
    wanted = facts.config("min-replicas-to-write")
    needed = int(wanted) if wanted and wanted.isdigit() else 0
    current = facts.number("replication", "min_slaves_good_slaves")
    if needed > online or (current is not None and needed > current):
        what = f"{online} replicas are online"
        if current is not None and current < online:
            what = f"{current} of {online} replicas lag by less than min-replicas-max-lag"
        yield fail("replication", f"{what}, but the server accepts writes only with {needed}",
                   "start the replicas, find out why they lag, or lower min-replicas-to-write")  # fmt: skip
    elif not lines:
        yield ok("replication", "there is no replica: if this machine is lost, so are its messages",
                 "a replica and Sentinel would keep the queues available")  # fmt: skip
    elif online < len(lines):
        yield warn("replication", f"{len(lines) - online} of {len(lines)} replicas are not in sync",
                   "see their logs; a failover to one of them loses messages")  # fmt: skip
    elif not needed:
        unknown = " (or unknown)" if wanted is None else ""
        yield warn(
            "replication",
            f"{online} replicas online, min-replicas-to-write is 0{unknown}: a disconnected master "
            "continues to accept messages, which a failover loses",
            "CONFIG SET min-replicas-to-write 1",
        )
    elif facts.version() < _HOLDS_SCRIPTS:
        yield warn("replication", f"{online} replicas online, {needed} required for writes; but this version of Redis "
                   "lets scripts write without them, and BizzMQ writes only with scripts",
                   'use Redis 7 or newer, or Valkey; or publish with confirm="replicas:1"')  # fmt: skip
    else:
        yield ok("replication", f"{online} replicas online, {needed} required for writes")


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MB"
