"""The audit of what messages have beside them: each entry belongs to a message, and each message has its unique key."""

from __future__ import annotations

from itertools import chain
from typing import Iterator

from bizzmq.audit import findings
from bizzmq.audit.findings import Finding, Kind
from bizzmq.audit.locations import OWN, batches
from bizzmq.audit.scan import QueueScan


def findings_of(scan: QueueScan) -> list[Finding]:
    """What is left beside messages, or missing there. Each batch is read in one step."""
    k = scan.sides[OWN]
    hashes = [key for key in k.beside if key != k.unique]
    ids = {name for key in hashes for name in scan.field_names(key)}
    found: dict[str, list[bytes]] = {}
    for one, damage in chain(_ids_with_damage(scan, ids), _keys_with_damage(scan, {*scan.field_names(k.unique)})):
        found.setdefault(damage, []).append(one)
    return [findings.leftovers(k.queue, damage, found[damage]) for damage in findings.LEFTOVERS if damage in found]


def repair(scan: QueueScan, finding: Finding) -> int:
    """Remove what is left, and restore what is missing. Returns how many."""
    ids, unique_keys = finding.names, finding.names
    if finding.kind is Kind.UNIQUE_KEYS:
        return sum(scan.broker.repair_leftovers(finding.queue, [], batch) for batch in batches(unique_keys))
    return sum(scan.broker.repair_leftovers(finding.queue, batch, []) for batch in batches(ids))


def _ids_with_damage(scan: QueueScan, ids: set[bytes]) -> Iterator[tuple[bytes, str]]:
    for batch in batches(sorted(ids)):
        found = scan.broker.find_leftovers(scan.sides[OWN].queue, batch, [])
        yield from ((one, damage) for one, damage in zip(batch, found) if damage)


def _keys_with_damage(scan: QueueScan, unique_keys: set[bytes]) -> Iterator[tuple[bytes, str]]:
    for batch in batches(sorted(unique_keys)):
        found = scan.broker.find_leftovers(scan.sides[OWN].queue, [], batch)
        yield from ((one, damage) for one, damage in zip(batch, found) if damage)
