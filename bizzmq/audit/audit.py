"""The audit: checks that every message of a queue and of its dead-letter queue is in exactly one place.

Safe on a queue in use. Each finding was true of all its subjects at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from bizzmq.audit import accounts, findings, leftovers, schedules
from bizzmq.audit.accounts import Accounts
from bizzmq.audit.findings import Finding, Holder, Kind
from bizzmq.audit.locations import DEAD, OWN, MessageLocations
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, DecodeError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils import clock

_SIDES = (OWN, DEAD)
_POLL_S = 0.5


@dataclass(frozen=True)
class Diagnosis:
    """The result of an audit. `accounts` is empty if keys of a wrong type made them unreadable."""

    accounts: tuple[Accounts, ...]
    findings: tuple[Finding, ...]

    @property
    def balanced(self) -> bool:
        return not self.findings


def audit(broker: Broker, queue: str, lease_s: float) -> Diagnosis:
    """Audit a queue with all its shards.

    Args:
        queue: name of the queue, or of its dead-letter queue.
        lease_s: a worker whose supervisor is not registered is reported after this time.

    Raises:
        QueueNotFoundError: neither the queue nor its dead-letter queue exists.
    """
    return combine([diagnose(QueueScan(broker, shard), lease_s) for shard in shards_of(broker, queue)])


def shards_of(broker: Broker, queue: str) -> list[str]:
    """Names of the shards of a queue. Each has its own accounts. Most queues have one shard: themselves."""
    owner = broker.keys(queue).owner
    try:
        return broker.shards(owner)
    except QUEUE_TROUBLE:
        return [owner]  # its options are unreadable, which the audit reports


def combine(parts: Sequence[Diagnosis]) -> Diagnosis:
    """The diagnoses of several shards as one."""
    return Diagnosis(
        tuple(one for part in parts for one in part.accounts), tuple(one for part in parts for one in part.findings)
    )


def diagnose(scan: QueueScan, lease_s: float) -> Diagnosis:
    scan.check_exists()
    wrong = _wrong_types(scan)
    if wrong:
        return Diagnosis((), tuple(wrong))
    found = [
        *_without_options(scan),
        *_bad_options(scan),
        *_misplaced(scan),
        *_unregistered(scan),
        *_unsupervised(scan, lease_s),
        *schedules.findings_of(scan.broker, scan.sides[OWN]),
        *leftovers.findings_of(scan),
    ]
    pair = accounts.read_settled(scan)
    return Diagnosis(pair, (*found, *_account_findings(scan, pair, found)))


def _misplaced(scan: QueueScan) -> list[Finding]:
    by_kind: dict[tuple[Kind, int], list[MessageLocations]] = {}
    for locations in scan.locate(scan.suspects()):
        for wrong in findings.damage_of(locations):
            by_kind.setdefault(wrong, []).append(locations)
    order = list(Kind)
    return [
        findings.about_ids(kind, side, scan.sides[side].queue, by_kind[kind, side])
        for kind, side in sorted(by_kind, key=lambda one: (order.index(one[0]), one[1]))
    ]


def _types(k: QueueKeys) -> dict[str, str]:
    hashes = [k.meta, k.messages, k.attempts, k.supervisors, k.workers, k.releases, k.stats]
    if not k.is_dead_letter_queue:
        hashes += [*k.beside, k.schedules, k.fires, k.pauses, k.alerts]
    return {
        **({} if k.is_dead_letter_queue else {k.due: "zset"}),
        **dict.fromkeys(hashes, "hash"),
        **dict.fromkeys((k.waiting, k.parked), "list"),
        **dict.fromkeys((k.prioritized, k.delayed, k.suspended, k.wake), "zset"),
    }


def _wrong_types(scan: QueueScan) -> list[Finding]:
    wanted: list[tuple[int, Any, str]] = [
        (side, key, kind) for side in _SIDES for key, kind in _types(scan.sides[side]).items()
    ]
    wrong = _mismatches(scan, wanted)
    if wrong:
        return wrong  # `workers`, which names the lists, may be one of them
    return _mismatches(scan, [(scan.side_of(key), key, "list") for key in scan.lists()])


def _mismatches(scan: QueueScan, wanted: list[tuple[int, Any, str]]) -> list[Finding]:
    kinds = scan.broker.read_together(*[("TYPE", key) for _, key, _ in wanted]) if wanted else []
    return [
        findings.wrong_type(
            side, scan.sides[side].queue, key if isinstance(key, str) else findings.readable(key), kind.decode(), right
        )
        for (side, key, right), kind in zip(wanted, kinds)
        if kind.decode() not in (right, "none")
    ]


def _without_options(scan: QueueScan) -> list[Finding]:
    found = []
    for side, k in enumerate(scan.sides):
        others = [key for key in _types(k) if key != k.meta]
        has_options, has_others = scan.broker.read_together(("EXISTS", k.meta), ("EXISTS", *others))
        if has_others and not has_options:
            found.append(findings.no_options(side, k.queue, k.meta))
    return found


def _bad_options(scan: QueueScan) -> list[Finding]:
    found = []
    for side, k in enumerate(scan.sides):
        try:
            scan.broker.options(k.queue)
        except DecodeError as error:
            found.append(findings.bad_options(side, k.queue, k.meta, str(error)))
        except QueueNotFoundError:
            continue
    return found


def _unregistered(scan: QueueScan) -> list[Finding]:
    found = []
    for side, k in enumerate(scan.sides):
        registered = scan.workers(side)
        held, total = [], 0
        for key in scan.lists():
            worker = scan.worker_of(key)
            if scan.side_of(key) != side or worker in registered:
                continue
            is_registered, count = scan.broker.read_together(("HEXISTS", k.workers, worker), ("LLEN", key))
            if count and not is_registered:
                held.append(Holder(worker))
                total += count
        if held:
            found.append(findings.unregistered_worker(side, k.queue, held, total))
    return found


def _unsupervised(scan: QueueScan, lease_s: float) -> list[Finding]:
    remaining = _without_supervisor(scan)
    until_s = clock.monotonic() + lease_s
    while remaining and clock.monotonic() < until_s:
        clock.sleep(min(_POLL_S, lease_s / 4))  # a supervisor that was removed while alive registers again
        remaining &= _without_supervisor(scan)
    found = []
    for side in _SIDES:
        held = [Holder(worker, supervisor) for at, worker, supervisor in sorted(remaining) if at == side]
        if held:
            found.append(findings.unsupervised(side, scan.sides[side].queue, held))
    return found


def _without_supervisor(scan: QueueScan) -> set[tuple[int, bytes, bytes]]:
    found = set()
    for side, k in enumerate(scan.sides):
        flat, supervisors = scan.broker.read_together(("HGETALL", k.workers), ("HKEYS", k.supervisors))
        known = set(supervisors)
        found |= {(side, worker, owner) for worker, owner in zip(flat[::2], flat[1::2]) if owner not in known}
    return found


def _account_findings(scan: QueueScan, pair: tuple[Accounts, Accounts], others: list[Finding]) -> list[Finding]:
    counts = {(finding.kind, finding.side): len(finding.subjects) for finding in others}
    found = []
    for side, one in enumerate(pair):
        if one.unreadable:
            found.append(findings.unreadable_counters(side, one.queue, scan.sides[side].stats, one.unreadable))
        if one.difference:
            explained = one.explained(counts.get((Kind.MISSING_BODY, side), 0), counts.get((Kind.UNPLACED, side), 0))
            found.append(findings.unbalanced(side, one.queue, one.difference, explained=explained))
    return found
