"""Mending what an audit has found. Each script looks once more, in the step in which it acts."""

from __future__ import annotations

from typing import Callable

from bizzmq import books
from bizzmq.audit import Diagnosis, diagnose, shards_of, together
from bizzmq.broker import Broker
from bizzmq.findings import Finding, Kind
from bizzmq.registry import Death, as_text
from bizzmq.sight import batches, inspect_keys, restore_keys
from bizzmq.survey import Survey

_ROUNDS = 4
_ORDER = (Kind.HOLLOW, Kind.LEFTOVER, Kind.DOUBLED, Kind.STRAY, Kind.ORPHANED, Kind.UNSUPERVISED)
"""What is in two places is settled before anything is put back: so nothing is put beside itself."""


def repair(
    broker: Broker, queue: str, lease_s: float, *, accept: bool = False
) -> tuple[list[tuple[Finding, int]], Diagnosis]:
    """Mend what can be mended of a queue, in all its shards.

    Args:
        accept: write off a difference of the books that nothing explains, too.

    Returns:
        What was mended, each with how many; and what an audit finds afterwards.
    """
    parts = [_repair_one(broker, shard, lease_s, accept) for shard in shards_of(broker, queue)]
    return [one for mended, _ in parts for one in mended], together([found for _, found in parts])


def _repair_one(
    broker: Broker, queue: str, lease_s: float, accept: bool
) -> tuple[list[tuple[Finding, int]], Diagnosis]:
    mended: list[tuple[Finding, int]] = []
    survey = Survey(broker, queue)
    found = diagnose(survey, lease_s)
    for _ in range(_ROUNDS):
        done = _mend(survey, found)
        mended += done
        if not done:
            break
        survey = Survey(broker, queue)
        found = diagnose(survey, lease_s)
    if found.books:
        written_off = _write_off(survey, found, accept)
        if written_off:
            mended += written_off
            found = diagnose(survey, lease_s)
    return mended, found


def _mend(survey: Survey, found: Diagnosis) -> list[tuple[Finding, int]]:
    menders: dict[Kind, Callable[[Survey, Finding], int]] = {
        Kind.HOLLOW: _drop,
        Kind.LEFTOVER: _forget,
        Kind.DOUBLED: _unify,
        Kind.STRAY: _restore,
        Kind.ORPHANED: _reclaim,
        Kind.UNSUPERVISED: _requeue,
    }
    done = []
    for kind in _ORDER:
        for finding in found.findings:
            count = menders[kind](survey, finding) if finding.kind is kind else 0
            if count:
                done.append((finding, count))
    return done


def _drop(survey: Survey, finding: Finding) -> int:
    k = survey.sides[finding.side]
    by_place: dict[bytes, list[bytes]] = {}
    for sight in finding.sights:
        for place in sight.at(finding.side):
            by_place.setdefault(place.key, []).extend([sight.id] * place.times)
    return sum(
        int(survey.broker.run("drop", [key, k.messages, k.attempts, k.stats], *batch))
        for key, ids in by_place.items()
        for batch in batches(ids)
    )


def _forget(survey: Survey, finding: Finding) -> int:
    k = survey.sides[finding.side]
    ids = [sight.id for sight in finding.sights]
    return sum(int(survey.broker.run("forget", [k.attempts, k.messages], *batch)) for batch in batches(ids))


def _unify(survey: Survey, finding: Finding) -> int:
    ids, size = [sight.id for sight in finding.sights], survey.batch_size()
    return sum(int(survey.run("unify", inspect_keys(survey.sides), *batch)) for batch in batches(ids, size))


def _restore(survey: Survey, finding: Finding) -> int:
    ids = sorted((sight.id for sight in finding.sights), reverse=True)  # newest first: the oldest is next in the end
    names, size = restore_keys(survey.sides, finding.side), survey.batch_size()
    return sum(int(survey.run("restore", names, *batch)) for batch in batches(ids, size))


def _reclaim(survey: Survey, finding: Finding) -> int:
    return sum(reclaim(survey.broker, finding.queue, held.worker) for held in finding.held)


def reclaim(broker: Broker, queue: str, worker: bytes) -> int:
    """Put back what a worker holds that is not registered; returns how many, 0 if it is registered."""
    total = 0
    while True:
        count = reclaim_some(broker, queue, worker)
        if count <= 0:
            return total
        total += count


def reclaim_some(broker: Broker, queue: str, worker: bytes) -> int:
    """At most a hundred of them; -1 if the worker is registered."""
    k = broker.keys(queue)
    held = k.processing("").encode() + worker
    names = [k.workers, held, k.waiting, k.prioritized, k.attempts, k.wake, k.stats]
    return int(broker.run("reclaim", names, worker))


def _requeue(survey: Survey, finding: Finding) -> int:
    done = 0
    for held in finding.held:
        death = Death("silent", supervisor=as_text(held.supervisor), counter="")
        done += survey.broker.requeue(finding.queue, as_text(held.worker), death) is not None
    return done


def _write_off(survey: Survey, found: Diagnosis, accept: bool) -> list[tuple[Finding, int]]:
    done = []
    for finding in found.findings:
        if finding.kind is not Kind.BOOKS:
            continue
        side = found.books[finding.side]
        if (side.explained() or accept) and books.write_off(survey, finding.side, side):
            done.append((finding, abs(side.difference)))
    return done
