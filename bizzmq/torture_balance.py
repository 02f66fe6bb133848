"""The verdict of `bizzmq demo --torture`: what must hold of what was published, run and dead-lettered, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Sequence

from bizzmq.demo_ledger import Run
from bizzmq.torture_deeds import CRASHES, FAILURES
from bizzmq.torture_plan import Planned

MOST_FAULTS_SHOWN = 20
TRIES = 3
"""Runs that a message gets that always fails, or always kills its worker."""
_NOT_NEEDED = ("was not needed any more", "was overtaken by the next reload")
"""How the pool ends a worker that is superfluous before it has begun."""


class Counts(NamedTuple):
    """What a delivery is told of earlier ones."""

    retries: int
    crashes: int
    requeues: int


CRASHED, FAILED, PUT_BACK = Counts(0, 1, 0), Counts(1, 0, 0), Counts(0, 0, 1)


@dataclass
class Evidence:
    """Everything that is known in the end.

    Attributes:
        published: id -> what was planned for it.
        dead: id -> the error record of its dead letter.
        killed: the workers that got SIGKILL from the demo.
        deaths: the pool's own reports of workers' deaths.
        broken: the generations of the handler that could not be imported.
        reloaded_s: after this moment only the last generation may start a message; monotonic seconds.
        generation: the last one.
    """

    published: Mapping[str, Planned]
    runs: Sequence[Run]
    dead: Mapping[str, Mapping[str, Any]]
    killed: frozenset[int]
    deaths: Sequence[Mapping[str, Any]]
    broken: frozenset[int]
    reloaded_s: float
    generation: int


@dataclass
class Verdict:
    """The balance. `faults` says in words what must not be; empty is what is hoped for."""

    handled: int = 0
    lost: int = 0
    twice: int = 0
    interrupted: int = 0
    planned_dead: int = 0
    buried: int = 0
    faults: list[str] = field(default_factory=list)


def judge(evidence: Evidence) -> Verdict:
    """Compare what was planned with what has happened."""
    verdict = Verdict()
    runs_of: dict[str, list[Run]] = {message_id: [] for message_id in evidence.published}
    last_of = {run.pid: run for run in evidence.runs}
    for run in sorted(evidence.runs, key=lambda run: run.start_s):
        if run.message_id in runs_of:
            runs_of[run.message_id].append(run)
        else:
            verdict.faults.append(f"{run.message_id} ran, but was never published")
        generation = int(run.about[3])
        if generation in evidence.broken:
            verdict.faults.append(f"{run.message_id} was run by the broken generation {generation}")
        if run.start_s > evidence.reloaded_s and generation != evidence.generation:
            verdict.faults.append(f"{run.message_id} was run by generation {generation} after the last reload")
    unseen = _unseen(evidence, last_of)
    cut_off = {id(run) for pid, run in last_of.items() if pid in evidence.killed}
    for message_id, planned in evidence.published.items():
        _judge_fate(verdict, message_id, planned, runs_of[message_id], evidence.dead.get(message_id))
        _judge_counts(verdict, message_id, planned, runs_of[message_id], cut_off, unseen[message_id])
    verdict.interrupted = sum(1 for run in last_of.values() if id(run) in cut_off and run.end_s is None)
    verdict.faults += [
        f"a dead letter that was never published: {message_id}" for message_id in evidence.dead.keys() - runs_of.keys()
    ]
    _judge_deaths(verdict, evidence, last_of)
    return verdict


def _judge_fate(
    verdict: Verdict, message_id: str, planned: Planned, runs: Sequence[Run], record: Mapping[str, Any] | None
) -> None:
    """Each message is handled or, if it has to be, dead-lettered for the right reason."""
    ended = sum(1 for run in runs if run.end_s is not None)
    verdict.handled += bool(ended)
    verdict.twice += ended > 1
    verdict.planned_dead += planned.dies
    verdict.buried += record is not None
    if record is None and not ended:
        verdict.lost += 1
        verdict.faults.append(f"{message_id} ({planned.deed}) is lost: neither handled nor dead-lettered")
    if record is not None and not planned.dies:
        verdict.faults.append(f"{message_id} ({planned.deed}) is innocent, but dead-lettered: {record.get('error')}")
    if record is not None and planned.dies and not _is_right(planned, record):
        verdict.faults.append(f"{message_id} ({planned.deed}) is dead-lettered for another reason: {record}")


def _is_right(planned: Planned, record: Mapping[str, Any]) -> bool:
    if planned.deed in FAILURES:
        return bool(record.get("error_type") == FAILURES[planned.deed])
    return record.get("error_type") == "WorkerCrashed" and CRASHES[planned.deed] in str(record.get("error"))


def _unseen(evidence: Evidence, last_of: Mapping[int, Run]) -> Counter[str]:
    """How often a message was cut off by a kill after its worker had begun with it, but before its handler wrote so."""
    return Counter(
        str(death["message"])
        for death in evidence.deaths
        if "message" in death and death["pid"] in evidence.killed and not _wrote(last_of, death)
    )


def _wrote(last_of: Mapping[int, Run], death: Mapping[str, Any]) -> bool:
    return death["pid"] in last_of and last_of[death["pid"]].message_id == death["message"]


def _judge_counts(
    verdict: Verdict, message_id: str, planned: Planned, runs: Sequence[Run], cut_off: set[int], unseen: int
) -> None:
    """A crash raises only the crash count, a failure only the retry count, and nothing else runs a message again."""
    before, all_unseen = Counts(0, 0, 0), unseen
    for number, run in enumerate(runs):
        counts = Counts(*map(int, run.about[:3]))
        if number == 0:
            allowed = {Counts(0, 0, 0)}
        else:
            allowed = _permitted(planned, before, killed=id(runs[number - 1]) in cut_off)
        step = _difference(counts, before)
        while step not in allowed and unseen:
            step, unseen = _difference(step, CRASHED), unseen - 1
        if step not in allowed:
            verdict.faults.append(
                f"{message_id} ({planned.deed}{', always' if planned.always else ''}) ran again as delivery "
                f"{1 + number} with {counts} after {before}, its last run was {runs[number - 1] if number else None}"
            )
        before = counts
    tried = before.retries if planned.deed in FAILURES else before.crashes
    if planned.dies and not TRIES - 1 - all_unseen <= tried <= TRIES - 1:
        verdict.faults.append(f"{message_id} ({planned.deed}, always) was given up at {before}, in run {len(runs)}")


def _difference(counts: Counts, others: Counts) -> Counts:
    return Counts(*(one - other for one, other in zip(counts, others)))


def _permitted(planned: Planned, counts: Counts, *, killed: bool) -> set[Counts]:
    """By what the counts may grow after a run with these counts, if another one may follow it at all."""
    is_bad = planned.is_bad and (planned.always or counts == (0, 0, 0))
    if is_bad and planned.deed in CRASHES:
        return {CRASHED}
    if is_bad:  # it may have been killed while it still ran, or while its failure was being written down
        return {FAILED, CRASHED, PUT_BACK} if killed else {FAILED}
    return {CRASHED} if killed else set()


def _judge_deaths(verdict: Verdict, evidence: Evidence, last_of: Mapping[int, Run]) -> None:
    """No worker dies unless it was killed, or by a message that is meant to."""
    for death in evidence.deaths:
        if death["pid"] == 0 or death["how"] in _NOT_NEEDED:
            continue  # it had not begun yet
        run = last_of.get(death["pid"])
        planned = evidence.published.get(run.message_id) if run is not None and run.end_s is None else None
        if death["pid"] not in evidence.killed and (planned is None or not planned.is_bad):
            verdict.faults.append(f"worker {death['pid']} died of nothing that was planned: {death.get('how')}")
