"""The conservation audit: whether every message of a queue and of its dead-letter queue is where it belongs.

Safe on a queue in use. What it reports was true at one moment, of everything that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from bizzmq import books, clock, findings
from bizzmq.books import Books
from bizzmq.broker import Broker
from bizzmq.errors import QUEUE_TROUBLE, DecodeError, QueueNotFoundError
from bizzmq.findings import Finding, Held, Kind
from bizzmq.keys import QueueKeys
from bizzmq.sight import DEAD, OWN, Sight
from bizzmq.survey import Survey

_SIDES = (OWN, DEAD)
_POLL_S = 0.5


@dataclass(frozen=True)
class Diagnosis:
    """What an audit has found. `books` are empty if keys of a wrong type could not be read."""

    books: tuple[Books, ...]
    findings: tuple[Finding, ...]

    @property
    def balanced(self) -> bool:
        return not self.findings


def audit(broker: Broker, queue: str, lease_s: float) -> Diagnosis:
    """Look at a queue with all its shards; its name, or that of its dead-letter queue.

    Args:
        lease_s: workers whose supervisor is not registered are watched for so long before they are reported.

    Raises:
        QueueNotFoundError: there is neither the queue nor its dead-letter queue.
    """
    return together([diagnose(Survey(broker, shard), lease_s) for shard in shards_of(broker, queue)])


def shards_of(broker: Broker, queue: str) -> list[str]:
    """The shards of a queue, each of which has books of its own; for most it is the queue itself."""
    owner = broker.keys(queue).owner
    try:
        return broker.shards(owner)
    except QUEUE_TROUBLE:
        return [owner]  # its options are of a wrong type, or unreadable, which the audit will say


def together(parts: Sequence[Diagnosis]) -> Diagnosis:
    """The diagnoses of some shards as one."""
    return Diagnosis(
        tuple(one for part in parts for one in part.books), tuple(one for part in parts for one in part.findings)
    )


def diagnose(survey: Survey, lease_s: float) -> Diagnosis:
    survey.exists()
    wrong = _wrong_types(survey)
    if wrong:
        return Diagnosis((), tuple(wrong))
    found = [
        *_without_options(survey),
        *_bad_options(survey),
        *_astray(survey),
        *_orphaned(survey),
        *_unsupervised(survey, lease_s),
    ]
    pair = books.read_settled(survey)
    return Diagnosis(pair, (*found, *_off_balance(survey, pair, found)))


def _astray(survey: Survey) -> list[Finding]:
    by_kind: dict[tuple[Kind, int], list[Sight]] = {}
    for sight in survey.inspect(survey.suspects()):
        for wrong in findings.judge(sight):
            by_kind.setdefault(wrong, []).append(sight)
    order = list(Kind)
    return [
        findings.about_ids(kind, side, survey.sides[side].queue, by_kind[kind, side])
        for kind, side in sorted(by_kind, key=lambda one: (order.index(one[0]), one[1]))
    ]


def _types(k: QueueKeys) -> dict[str, str]:
    hashes = (k.meta, k.messages, k.attempts, k.supervisors, k.workers, k.releases, k.stats)
    return {
        **dict.fromkeys(hashes, "hash"),
        **dict.fromkeys((k.waiting, k.parked), "list"),
        **dict.fromkeys((k.prioritized, k.delayed, k.wake), "zset"),
    }


def _wrong_types(survey: Survey) -> list[Finding]:
    wanted: list[tuple[int, Any, str]] = [
        (side, key, kind) for side in _SIDES for key, kind in _types(survey.sides[side]).items()
    ]
    wrong = _mismatches(survey, wanted)
    if wrong:
        return wrong  # the lists of workers are found by a key that may be one of them
    return _mismatches(survey, [(survey.side_of(key), key, "list") for key in survey.lists()])


def _mismatches(survey: Survey, wanted: list[tuple[int, Any, str]]) -> list[Finding]:
    kinds = survey.broker.look(*[("TYPE", key) for _, key, _ in wanted]) if wanted else []
    return [
        findings.wrong_type(
            side, survey.sides[side].queue, key if isinstance(key, str) else findings.shown(key), kind.decode(), right
        )
        for (side, key, right), kind in zip(wanted, kinds)
        if kind.decode() not in (right, "none")
    ]


def _without_options(survey: Survey) -> list[Finding]:
    found = []
    for side, k in enumerate(survey.sides):
        others = [key for key in _types(k) if key != k.meta]
        has_options, has_others = survey.broker.look(("EXISTS", k.meta), ("EXISTS", *others))
        if has_others and not has_options:
            found.append(findings.no_options(side, k.queue, k.meta))
    return found


def _bad_options(survey: Survey) -> list[Finding]:
    found = []
    for side, k in enumerate(survey.sides):
        try:
            survey.broker.options(k.queue)
        except DecodeError as error:
            found.append(findings.bad_options(side, k.queue, k.meta, str(error)))
        except QueueNotFoundError:
            continue
    return found


def _orphaned(survey: Survey) -> list[Finding]:
    found = []
    for side, k in enumerate(survey.sides):
        registered = survey.workers(side)
        held, total = [], 0
        for key in survey.lists():
            worker = survey.worker_of(key)
            if survey.side_of(key) != side or worker in registered:
                continue
            is_registered, count = survey.broker.look(("HEXISTS", k.workers, worker), ("LLEN", key))
            if count and not is_registered:
                held.append(Held(worker))
                total += count
        if held:
            found.append(findings.orphaned(side, k.queue, held, total))
    return found


def _unsupervised(survey: Survey, lease_s: float) -> list[Finding]:
    lasting = _without_supervisor(survey)
    until_s = clock.monotonic() + lease_s
    while lasting and clock.monotonic() < until_s:
        clock.sleep(min(_POLL_S, lease_s / 4))  # a supervisor that was evicted and lives registers anew
        lasting &= _without_supervisor(survey)
    found = []
    for side in _SIDES:
        held = [Held(worker, supervisor) for at, worker, supervisor in sorted(lasting) if at == side]
        if held:
            found.append(findings.unsupervised(side, survey.sides[side].queue, held))
    return found


def _without_supervisor(survey: Survey) -> set[tuple[int, bytes, bytes]]:
    found = set()
    for side, k in enumerate(survey.sides):
        flat, supervisors = survey.broker.look(("HGETALL", k.workers), ("HKEYS", k.supervisors))
        known = set(supervisors)
        found |= {(side, worker, owner) for worker, owner in zip(flat[::2], flat[1::2]) if owner not in known}
    return found


def _off_balance(survey: Survey, pair: tuple[Books, Books], others: list[Finding]) -> list[Finding]:
    counts = {(finding.kind, finding.side): len(finding.subjects) for finding in others}
    found = []
    for side, one in enumerate(pair):
        if one.unreadable:
            found.append(findings.unreadable(side, one.queue, survey.sides[side].stats, one.unreadable))
        if one.difference:
            explained = one.explained(counts.get((Kind.HOLLOW, side), 0), counts.get((Kind.STRAY, side), 0))
            found.append(findings.off_balance(side, one.queue, one.difference, explained=explained))
    return found
