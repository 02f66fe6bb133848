"""Sentences about messages that wait for a worker."""

from __future__ import annotations

from typing import Iterable

from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.explain.facts import Facts
from bizzmq.admin.explain.stored import retries_of
from bizzmq.admin.stored_message import SUSPENDED, WAITING
from bizzmq.protocol.pool_report import DRAINING, PAUSED
from bizzmq.utils.wording import counted, span


def paused(facts: Facts) -> str:
    if facts.message is None or facts.message.state not in (WAITING, SUSPENDED):
        return ""
    why = "; ".join(one.sentence(facts.now_s) for one in facts.beside.pauses)
    if facts.message.state == WAITING:
        return f"{why}; {_place(facts)}" if why else ""
    if why:
        return f"put aside: {why}"
    return "put aside for a pause that is over: " + (
        "a pool returns it to the queue at its next look" if facts.pools else "no pool serves the queue to return it"
    )


def no_worker(facts: Facts) -> str:
    if not _waits(facts) or facts.workers:
        return ""
    silent = facts.silent_pools
    if silent:
        latest = min(silent, key=lambda pool: pool.beat_ago_s or 0.0)
        why = f"the last pool, on host {latest.host}, has been silent for {span(latest.beat_ago_s or 0.0)}"
        return f"no worker serves queue {facts.queue!r}: {why}; {_place(facts)}"
    if facts.pools:
        return f"no worker serves queue {facts.queue!r} yet: {_pools(facts.pools)} has none; {_place(facts)}"
    return f"no worker serves queue {facts.queue!r}; {_place(facts)}"


def pools_paused(facts: Facts) -> str:
    if not _all_are(facts, PAUSED):
        return ""
    return f"{_pools(facts.pools)} that serves queue {facts.queue!r} is paused; {_place(facts)}"


def pools_draining(facts: Facts) -> str:
    if not _all_are(facts, DRAINING):
        return ""
    return f"{_pools(facts.pools)} that serves queue {facts.queue!r} is draining; {_place(facts)}"


def pools_closed(facts: Facts) -> str:
    if not _waits(facts) or not facts.pools or not all(pool.closed_s > 0 for pool in facts.pools):
        return ""
    left = span(min(pool.closed_s for pool in facts.pools))
    return f"no pool claims from queue {facts.queue!r} for {left} more, since workers have died there; {_place(facts)}"


def all_busy(facts: Facts) -> str:
    return _sentence(facts) if _waits(facts) and facts.busy >= len(facts.workers) else ""


def behind_others(facts: Facts) -> str:
    return _sentence(facts) if _waits(facts) and facts.before != 0 else ""


def is_next(facts: Facts) -> str:
    return f"next to be claimed; {_sentence(facts)}" if _waits(facts) else ""


def _waits(facts: Facts) -> bool:
    return facts.message is not None and facts.message.state == WAITING


def _all_are(facts: Facts, state: str) -> bool:
    return _waits(facts) and bool(facts.pools) and all(pool.state == state for pool in facts.pools)


def _sentence(facts: Facts) -> str:
    busy, workers = facts.busy, len(facts.workers)
    longest = f", the longest for {span(facts.longest_s)}" if busy and facts.longest_s else ""
    serve = counted(workers, "worker of this queue", "workers of this queue")
    return f"{_place(facts)}; {busy:,} of {serve} {'is' if busy == 1 else 'are'} busy{longest}"


def _place(facts: Facts) -> str:
    """`waiting behind 341 others, published 40 s ago`, and what has happened to it before."""
    before = "in the queue" if facts.before is None else f"behind {counted(facts.before, 'other')}"
    if facts.before == 0:
        before = "as the first"
    parts = [f"waiting {before}"]
    if facts.published_ago_s is not None:
        parts.append(f"published {span(facts.published_ago_s)} ago")
    if retries_of(facts):
        parts.append(retries_of(facts))
    if facts.message is not None and facts.message.crash_count:
        parts.append(f"after {counted(facts.message.crash_count, 'crash', 'crashes')} of its worker")
    return ", ".join(parts)


def _pools(pools: Iterable[PoolInfo]) -> str:
    hosts = sorted({pool.host for pool in pools})
    return f"the pool on host {hosts[0]}" if len(hosts) == 1 else f"each pool (on hosts {', '.join(hosts)})"
