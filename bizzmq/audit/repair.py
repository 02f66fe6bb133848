"""Repairs the findings of an audit. Each script checks the damage again in the step in which it acts."""

from __future__ import annotations

from typing import Callable

from bizzmq.audit import accounts, leftovers, schedules
from bizzmq.audit.audit import Diagnosis, combine, diagnose, shards_of
from bizzmq.audit.findings import Finding, Kind
from bizzmq.audit.locations import OWN, batches
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.broker.replies import as_text
from bizzmq.broker.workers import DeadWorker, DeathKind

_ROUNDS = 4
_ORDER = (
    Kind.MISSING_BODY,
    Kind.STALE_ATTEMPTS,
    Kind.DUPLICATE,
    Kind.UNPLACED,
    Kind.UNREGISTERED,
    Kind.UNSUPERVISED,
    Kind.SCHEDULES,
    Kind.LEFTOVERS,
    Kind.UNLISTED,
    Kind.UNIQUE_KEYS,
    Kind.KEYLESS,
)
"""Duplicates come before the repairs that requeue messages, so that none of these adds another copy. What is beside
messages comes after the repairs that end and restore messages."""


def repair(
    broker: Broker, queue: str, lease_s: float, *, accept: bool = False
) -> tuple[list[tuple[Finding, int]], Diagnosis]:
    """Repair a queue with all its shards as far as possible.

    Args:
        accept: also write off an unexplained difference of the accounts.

    Returns:
        Repaired findings with the number of repaired subjects, and the result of an audit afterwards.
    """
    parts = [_repair_one(broker, shard, lease_s, accept) for shard in shards_of(broker, queue)]
    return [one for repaired, _ in parts for one in repaired], combine([found for _, found in parts])


def _repair_one(
    broker: Broker, queue: str, lease_s: float, accept: bool
) -> tuple[list[tuple[Finding, int]], Diagnosis]:
    repaired: list[tuple[Finding, int]] = []
    scan = QueueScan(broker, queue)
    found = diagnose(scan, lease_s)
    for _ in range(_ROUNDS):
        done = _repair_findings(scan, found)
        repaired += done
        if not done:
            break
        scan = QueueScan(broker, queue)
        found = diagnose(scan, lease_s)
    if found.accounts:
        written_off = _write_off(scan, found, accept)
        if written_off:
            repaired += written_off
            found = diagnose(scan, lease_s)
    return repaired, found


def _repair_findings(scan: QueueScan, found: Diagnosis) -> list[tuple[Finding, int]]:
    repairs: dict[Kind, Callable[[QueueScan, Finding], int]] = {
        Kind.MISSING_BODY: _drop_missing,
        Kind.STALE_ATTEMPTS: _drop_attempts,
        Kind.DUPLICATE: _deduplicate,
        Kind.UNPLACED: _requeue_unplaced,
        Kind.UNREGISTERED: _requeue_unregistered,
        Kind.UNSUPERVISED: _requeue_unsupervised,
        Kind.SCHEDULES: lambda scan, finding: schedules.repair(scan.broker, finding),
        **dict.fromkeys((Kind.LEFTOVERS, Kind.UNLISTED, Kind.UNIQUE_KEYS, Kind.KEYLESS), leftovers.repair),
    }
    done = []
    for kind in _ORDER:
        for finding in found.findings:
            count = repairs[kind](scan, finding) if finding.kind is kind else 0
            if count:
                done.append((finding, count))
    return done


def _drop_missing(scan: QueueScan, finding: Finding) -> int:
    by_place: dict[bytes, list[bytes]] = {}
    for message in finding.messages:
        for location in message.on(finding.side):
            by_place.setdefault(location.key, []).extend([message.id] * location.times)
    return sum(
        scan.broker.drop_missing(finding.queue, place, batch)
        for place, ids in by_place.items()
        for batch in batches(ids)
    )


def _drop_attempts(scan: QueueScan, finding: Finding) -> int:
    return sum(scan.broker.drop_attempts(finding.queue, batch) for batch in batches(_ids(finding)))


def _deduplicate(scan: QueueScan, finding: Finding) -> int:
    return sum(
        scan.with_lists(lambda lists: scan.broker.deduplicate(scan.sides[OWN].queue, lists, batch))  # noqa: B023
        for batch in batches(_ids(finding), scan.batch_size())
    )


def _requeue_unplaced(scan: QueueScan, finding: Finding) -> int:
    newest_first = sorted(_ids(finding), reverse=True)  # each goes to the head, so the oldest ends as the first
    return sum(
        scan.with_lists(lambda lists: scan.broker.requeue_unplaced(finding.queue, lists, batch))  # noqa: B023
        for batch in batches(newest_first, scan.batch_size())
    )


def _ids(finding: Finding) -> list[bytes]:
    return [message.id for message in finding.messages]


def _requeue_unregistered(scan: QueueScan, finding: Finding) -> int:
    return sum(requeue_unregistered(scan.broker, finding.queue, holder.worker) for holder in finding.holders)


def requeue_unregistered(broker: Broker, queue: str, worker: bytes) -> int:
    """Requeue all messages of an unregistered worker. Returns how many, 0 if it is registered."""
    total = 0
    while True:
        count = broker.requeue_unregistered(queue, worker)
        if not count:
            return total
        total += count


def _requeue_unsupervised(scan: QueueScan, finding: Finding) -> int:
    done = 0
    for holder in finding.holders:
        death = DeadWorker(DeathKind.SILENT, supervisor=as_text(holder.supervisor), counter="")
        done += scan.broker.requeue(finding.queue, as_text(holder.worker), death) is not None
    return done


def _write_off(scan: QueueScan, found: Diagnosis, accept: bool) -> list[tuple[Finding, int]]:
    done = []
    for finding in found.findings:
        if finding.kind is not Kind.ACCOUNTS:
            continue
        side = found.accounts[finding.side]
        if (side.explained() or accept) and accounts.write_off(scan, finding.side, side):
            done.append((finding, abs(side.difference)))
    return done
