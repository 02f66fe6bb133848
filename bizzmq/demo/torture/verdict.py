"""The verdict of `bizzmq demo --torture`: compares what was published, what ran and what was dead-lettered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Sequence

from bizzmq.demo.ledger import Run
from bizzmq.demo.torture.handlers import CRASHES, FAILURES
from bizzmq.demo.torture.plan import PlannedMessage

MOST_PROBLEMS_SHOWN = 20
TRIES = 3
"""The number of runs of a message that always fails, or always kills its worker."""
_NOT_NEEDED = ("was not needed any more", "was overtaken by the next reload")
"""How the pool ends a worker that it no longer needs before it has started."""


class Counts(NamedTuple):
    """The counts of earlier attempts, as a delivery gets them."""

    retries: int
    crashes: int
    requeues: int


CRASHED, FAILED, PUT_BACK = Counts(0, 1, 0), Counts(1, 0, 0), Counts(0, 0, 1)


@dataclass
class Evidence:
    """Everything that is known at the end.

    Attributes:
        published: id -> the planned behaviour of the message.
        runs: all runs, from the ledger.
        dead: id -> the error record of the dead letter.
        killed: the pids of the workers that the demo has killed.
        deaths: the pool's reports of workers' deaths.
        broken: the generations of the handler that cannot be imported.
        reloaded_s: from this time on only the last generation may start a message; monotonic seconds.
        generation: the last generation.
    """

    published: Mapping[str, PlannedMessage]
    runs: Sequence[Run]
    dead: Mapping[str, Mapping[str, Any]]
    killed: frozenset[int]
    deaths: Sequence[Mapping[str, Any]]
    broken: frozenset[int]
    reloaded_s: float
    generation: int


@dataclass
class Verdict:
    """The result. `problems` describes everything that must not happen; it should be empty."""

    handled: int = 0
    lost: int = 0
    twice: int = 0
    interrupted: int = 0
    expected_dead_letters: int = 0
    dead_lettered: int = 0
    problems: list[str] = field(default_factory=list)


def judge(evidence: Evidence) -> Verdict:
    """Compare the plan with the evidence."""
    verdict = Verdict()
    runs_of: dict[str, list[Run]] = {message_id: [] for message_id in evidence.published}
    last_of = {run.pid: run for run in evidence.runs}
    for run in sorted(evidence.runs, key=lambda run: run.start_s):
        if run.message_id in runs_of:
            runs_of[run.message_id].append(run)
        else:
            verdict.problems.append(f"{run.message_id} ran, but was never published")
        generation = int(run.about[3])
        if generation in evidence.broken:
            verdict.problems.append(f"{run.message_id} was run by the broken generation {generation}")
        if run.start_s > evidence.reloaded_s and generation != evidence.generation:
            verdict.problems.append(f"{run.message_id} was run by generation {generation} after the last reload")
    unrecorded = _unrecorded_starts(evidence, last_of)
    interrupted = {id(run) for pid, run in last_of.items() if pid in evidence.killed}
    for message_id, planned in evidence.published.items():
        _judge_fate(verdict, message_id, planned, runs_of[message_id], evidence.dead.get(message_id))
        _judge_counts(verdict, message_id, planned, runs_of[message_id], interrupted, unrecorded[message_id])
    verdict.interrupted = sum(1 for run in last_of.values() if id(run) in interrupted and run.end_s is None)
    verdict.problems += [
        f"a dead letter that was never published: {message_id}" for message_id in evidence.dead.keys() - runs_of.keys()
    ]
    _judge_deaths(verdict, evidence, last_of)
    return verdict


def _judge_fate(
    verdict: Verdict, message_id: str, planned: PlannedMessage, runs: Sequence[Run], record: Mapping[str, Any] | None
) -> None:
    """Each message is handled or, if it must be, dead-lettered for the right reason."""
    ended = sum(1 for run in runs if run.end_s is not None)
    verdict.handled += bool(ended)
    verdict.twice += ended > 1
    verdict.expected_dead_letters += planned.must_be_dead_lettered
    verdict.dead_lettered += record is not None
    name = f"{message_id} ({planned.behaviour})"
    if record is None and not ended:
        verdict.lost += 1
        verdict.problems.append(f"{name} is lost: neither handled nor dead-lettered")
    if record is not None and not planned.must_be_dead_lettered:
        verdict.problems.append(f"{name} is innocent, but dead-lettered: {record.get('error')}")
    if record is not None and planned.must_be_dead_lettered and not _is_expected(planned, record):
        verdict.problems.append(f"{name} is dead-lettered for another reason: {record}")


def _is_expected(planned: PlannedMessage, record: Mapping[str, Any]) -> bool:
    if planned.behaviour in FAILURES:
        return bool(record.get("error_type") == FAILURES[planned.behaviour])
    return record.get("error_type") == "WorkerCrashed" and CRASHES[planned.behaviour] in str(record.get("error"))


def _unrecorded_starts(evidence: Evidence, last_of: Mapping[int, Run]) -> Counter[str]:
    """How often a kill interrupted each message before its handler wrote to the ledger."""
    return Counter(
        str(death["message"])
        for death in evidence.deaths
        if "message" in death and death["pid"] in evidence.killed and not _wrote(last_of, death)
    )


def _wrote(last_of: Mapping[int, Run], death: Mapping[str, Any]) -> bool:
    return death["pid"] in last_of and last_of[death["pid"]].message_id == death["message"]


def _judge_counts(
    verdict: Verdict,
    message_id: str,
    planned: PlannedMessage,
    runs: Sequence[Run],
    interrupted: set[int],
    unrecorded: int,
) -> None:
    """A crash increments only the crash count, a failure only the retry count, and nothing else repeats a message."""
    before, all_unrecorded = Counts(0, 0, 0), unrecorded
    for number, run in enumerate(runs):
        counts = Counts(*map(int, run.about[:3]))
        if number == 0:
            allowed = {Counts(0, 0, 0)}
        else:
            allowed = _permitted(planned, before, killed=id(runs[number - 1]) in interrupted)
        step = _difference(counts, before)
        while step not in allowed and unrecorded:
            step, unrecorded = _difference(step, CRASHED), unrecorded - 1
        if step not in allowed:
            verdict.problems.append(
                f"{message_id} ({planned.behaviour}{', always' if planned.always else ''}) ran again as delivery "
                f"{1 + number} with {counts} after {before}, its last run was {runs[number - 1] if number else None}"
            )
        before = counts
    tried = before.retries if planned.behaviour in FAILURES else before.crashes
    if planned.must_be_dead_lettered and not TRIES - 1 - all_unrecorded <= tried <= TRIES - 1:
        name = f"{message_id} ({planned.behaviour}, always)"
        verdict.problems.append(f"{name} was given up at {before}, in run {len(runs)}")


def _difference(counts: Counts, others: Counts) -> Counts:
    return Counts(*(one - other for one, other in zip(counts, others)))


def _permitted(planned: PlannedMessage, counts: Counts, *, killed: bool) -> set[Counts]:
    """The steps by which the counts may grow after a run with these counts; empty if no run may follow."""
    is_bad = planned.is_bad and (planned.always or counts == (0, 0, 0))
    if is_bad and planned.behaviour in CRASHES:
        return {CRASHED}
    if is_bad:  # the kill may have come while it was running, or while its failure was being stored
        return {FAILED, CRASHED, PUT_BACK} if killed else {FAILED}
    return {CRASHED} if killed else set()


def _judge_deaths(verdict: Verdict, evidence: Evidence, last_of: Mapping[int, Run]) -> None:
    """No worker dies unless it was killed, or a message was meant to kill it."""
    for death in evidence.deaths:
        if death["pid"] == 0 or death["how"] in _NOT_NEEDED:
            continue  # it had not started yet
        run = last_of.get(death["pid"])
        planned = evidence.published.get(run.message_id) if run is not None and run.end_s is None else None
        if death["pid"] not in evidence.killed and (planned is None or not planned.is_bad):
            verdict.problems.append(f"worker {death['pid']} died without a planned reason: {death.get('how')}")
