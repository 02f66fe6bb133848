"""What the doctor says about keeping messages: persistence, memory, replication."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor_finding import FULL, NEARLY_FULL, Facts, Finding, fail, ok, warn
from bizzmq.server_info import KEEPS_ALL

_AOF = "CONFIG SET appendonly yes, and `appendonly yes` in its configuration file"
_FSYNC = {
    "always": "the append-only file is on disk before each reply: no crash loses what was confirmed",
    "everysec": "the append-only file is flushed each second: if the machine crashes, up to the last 2 seconds are "
    "lost; if only the server does, nothing",
    "no": "the append-only file is flushed when the kernel likes: if the machine crashes, about the last 30 seconds "
    "are lost; if only the server does, nothing",
}
_HOLDS_SCRIPTS = (7, 0)


def persistence(facts: Facts) -> Iterator[Finding]:
    """Whether messages survive a crash of the server, and how many do not."""
    told = facts.info("persistence")
    if told.get("aof_last_write_status", "ok") != "ok" or told.get("rdb_last_bgsave_status", "ok") != "ok":
        yield fail("persistence", "the last write to disk has failed, and the server may refuse all writes",
                   "see the server's log; usually its disk is full or its directory is not writable")  # fmt: skip
    aof = told.get("aof_enabled") or {"yes": "1", "no": "0"}.get(facts.config("appendonly") or "")
    if aof is None:
        return
    if aof == "1":
        fsync = facts.config("appendfsync")
        if fsync is None:
            yield warn(
                "persistence",
                "there is an append-only file, but not told how often it is flushed: a crash of "
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
        yield warn("persistence", "no append-only file; whether there are snapshots is not told: a crash loses "
                   "everything since the last one", _AOF)  # fmt: skip
    elif save:
        pairs = save.split()
        rules = ", ".join(f"{changes} in {seconds} s" for seconds, changes in zip(pairs[::2], pairs[1::2]))
        unsaved = facts.number("persistence", "rdb_changes_since_last_save") or 0
        yield warn("persistence", f"snapshots only (changes: {rules}): a crash loses everything since the last one, "
                   f"{unsaved:,} changes now", _AOF)  # fmt: skip
    else:
        yield warn("persistence", "nothing is written to disk: a restart of the server loses every message", _AOF)


def eviction(facts: Facts) -> Iterator[Finding]:
    """Whether the server may throw messages away."""
    policy = facts.info("memory").get("maxmemory_policy") or facts.config("maxmemory-policy")
    if policy is None:
        return
    if policy == KEEPS_ALL:
        yield ok("eviction", "nothing is evicted: a full server refuses to publish, and loses nothing")
        return
    do = "CONFIG SET maxmemory-policy noeviction, and in its configuration file; caches belong into another server"
    if facts.number("memory", "maxmemory") == 0:
        yield warn("eviction", f"maxmemory-policy is {policy}: with a memory limit, which is not set now, messages "
                   "would be thrown away", do)  # fmt: skip
    else:
        yield fail("eviction", f"maxmemory-policy is {policy}: when the memory is full, messages are thrown away", do)


def memory(facts: Facts) -> Iterator[Finding]:
    """How much room is left."""
    used, limit = facts.number("memory", "used_memory"), facts.number("memory", "maxmemory")
    if used is None or limit is None:
        return
    if limit:
        what = f"{_mb(used)} of maxmemory {_mb(limit)} are used ({used / limit:.0%})"
        do = "raise maxmemory, or find out why messages pile up (bizzmq queues)"
        if used > FULL * limit:
            yield fail("memory", f"full: {what}; it refuses to publish, or is about to", do)
        elif used > NEARLY_FULL * limit:
            yield warn("memory", f"nearly full: {what}; a full server refuses to publish", do)
        else:
            yield ok("memory", what)
        return
    total = facts.number("memory", "total_system_memory") or 0
    what = f"{_mb(used)} are used, of {_mb(total)} in the machine; maxmemory is not set"
    do = "set maxmemory below what the machine has, so that a full server refuses to publish and is not killed"
    yield (warn if total and used > NEARLY_FULL * total else ok)("memory", what, do)


def replication(facts: Facts) -> Iterator[Finding]:
    """Whether it takes writes, and whether they are anywhere else."""
    told = facts.info("replication")
    if not told:
        return
    if told.get("role") != "master":
        master = f"{told.get('master_host', '?')}:{told.get('master_port', '?')}"
        yield fail("replication", f"this is a replica of {master}: it refuses writes, or would lose them",
                   "use the master's address, or redis+sentinel:// to find it always")  # fmt: skip
        return
    lines = [told[f"slave{number}"] for number in range(64) if f"slave{number}" in told]
    online = sum("state=online" in line for line in lines)
    wanted = facts.config("min-replicas-to-write")
    needed = int(wanted) if wanted and wanted.isdigit() else 0
    heard = facts.number("replication", "min_slaves_good_slaves")
    if needed > online or (heard is not None and needed > heard):
        what = f"{online} replicas are online"
        if heard is not None and heard < online:
            what = f"of {online} replicas {heard} have been heard of within min-replicas-max-lag"
        yield fail("replication", f"{what}, {needed} are needed for it to take writes",
                   "start the replicas, see why they lag, or lower min-replicas-to-write")  # fmt: skip
    elif not lines:
        yield ok("replication", "there is no replica: if this machine is lost, so are its messages",
                 "a replica and Sentinel keep the queues alive then")  # fmt: skip
    elif online < len(lines):
        yield warn("replication", f"{len(lines) - online} of {len(lines)} replicas are not in sync",
                   "see their logs; a failover to one of them loses messages")  # fmt: skip
    elif not needed:
        unknown = " (or it is not told)" if wanted is None else ""
        yield warn(
            "replication",
            f"{online} replicas online, min-replicas-to-write is 0{unknown}: a master that is cut "
            "off goes on to take messages, which a failover loses",
            "CONFIG SET min-replicas-to-write 1",
        )
    elif facts.version() < _HOLDS_SCRIPTS:
        yield warn("replication", f"{online} replicas online, {needed} needed for it to take writes; but this Redis "
                   "lets scripts write without them, and all that BizzMQ writes is written by scripts",
                   'use Redis 7 or newer, or Valkey; or publish with confirm="replicas:1"')  # fmt: skip
    else:
        yield ok("replication", f"{online} replicas online, {needed} needed for it to take writes")


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MB"
