"""The balance of a torture run: published messages against runs and dead letters, and why runs were repeated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence

from bizzmq.testing.ledger import Run
from bizzmq.testing.strike import Reach, Strike

CRASHED = "WorkerCrashed"
"""The error type of a message that was dead-lettered because it killed its workers."""
_MOST = 20
"""The most problems that are reported."""
_FLUSH_S = 1.0
"""How long before a fault a run may have ended and still lose its ack: an ack is sent with the next claim."""
_LAG_S = 3.0
"""How far a promoted replica may lag behind on a busy machine."""
_RETURN_S = 5.0
"""How long after an outage all clients have reconnected and sent their delayed acks."""


@dataclass(frozen=True)
class Evidence:
    """Everything that is known at the end of a run.

    Attributes:
        published: ids whose publish has returned, and was confirmed if confirmation was requested.
        unsure: ids that were published but not confirmed: each may be lost or handled.
        doubtful: how many publishes failed; each may still have published a message.
        runs: in the order of their start.
        dead: id -> the error record of its dead letter.
        stored: ids that are still in a queue.
    """

    published: frozenset[str]
    runs: Sequence[Run]
    unsure: frozenset[str] = frozenset()
    doubtful: int = 0
    dead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    strikes: Sequence[Strike] = ()


@dataclass
class Balance:
    """The totals of a run. `problems` describes each violation; it is empty if every invariant holds.

    Attributes:
        failed: dead letters whose handler failed or crashed.
        lost: published and confirmed, but neither handled nor stored.
        cut_off: repeated runs that a fault had interrupted.
        twice: successful runs that were repeated because a fault lost their ack.
        retried: repeated runs whose handler had failed.
        crashed: runs whose worker died without an injected fault: crashes of the handler itself.
        doubtful: publishes that failed: each may or may not have published a message.
        unconfirmed: lost with a server before they were confirmed; their publisher received an error.
    """

    published: int = 0
    handled: int = 0
    failed: int = 0
    lost: int = 0
    cut_off: int = 0
    twice: int = 0
    retried: int = 0
    crashed: int = 0
    doubtful: int = 0
    unconfirmed: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def duplicated(self) -> int:
        return self.cut_off + self.twice


def judge(evidence: Evidence) -> Balance:
    """G1, G3 and G5: each message is handled, or dead-lettered by its own failures, and repeated only by a fault."""
    runs_of: dict[str, list[Run]] = {}
    for run in evidence.runs:
        runs_of.setdefault(run.id, []).append(run)
    handled = {run.id for run in evidence.runs if run.succeeded}
    known = evidence.published | evidence.unsure
    lost = evidence.published - handled - evidence.dead.keys() - evidence.stored
    balance = Balance(len(known), len(handled & known), len(evidence.dead), len(lost), doubtful=evidence.doubtful)
    balance.unconfirmed = len(evidence.unsure - handled - evidence.dead.keys() - evidence.stored)
    if not balance.handled:
        balance.problems.append(f"nothing was handled, so this shows nothing{_example(evidence)}")
    balance.problems += [f"G1: {message_id} is lost" for message_id in sorted(lost)]
    balance.problems += [f"G1: {message_id} is still stored" for message_id in sorted(evidence.stored)]
    strangers = (runs_of.keys() | evidence.dead.keys()) - known
    if len(strangers) > evidence.doubtful:
        balance.problems.append(f"G1: {len(strangers)} ran that were never published: {sorted(strangers)[:5]}")
    reached = _Reached(evidence)
    for message_id, runs in runs_of.items():
        _judge_repeats(balance, message_id, runs, reached)
    _judge_letters(balance, evidence, runs_of, reached)
    if len(balance.problems) > _MOST:
        balance.problems[_MOST:] = [f"and {len(balance.problems) - _MOST} more"]
    return balance


def _example(evidence: Evidence) -> str:
    """One error of the handler as the end of a sentence, on one line."""
    record = next(iter(evidence.dead.values()), None)
    if record is None:
        return ""
    reported = " ".join(f"{record.get('error_type')}: {record.get('error')}".split())
    return f"; the handler's error: {reported[:200]}"


def _judge_repeats(balance: Balance, message_id: str, runs: Sequence[Run], reached: _Reached) -> None:
    for number, run in enumerate(runs):
        is_repeated = number + 1 < len(runs)
        if run.end is None and reached.by_any(run):
            balance.cut_off += is_repeated
        elif run.end is None:
            balance.crashed += 1
        elif is_repeated and not run.succeeded:
            balance.retried += 1
        elif is_repeated:
            balance.twice += 1
            if not reached.by_any(run):
                balance.problems.append(f"G3: {message_id} had ended well as delivery {run.delivery}, and ran again")


def _judge_letters(
    balance: Balance, evidence: Evidence, runs_of: Mapping[str, Sequence[Run]], reached: _Reached
) -> None:
    for message_id, record in evidence.dead.items():
        runs = runs_of.get(message_id, ())
        own = [run for run in runs if not run.succeeded and (run.end is not None or not reached.by_any(run))]
        if not own:
            why = f"{record.get('error_type')}: {record.get('error')}"
            balance.problems.append(f"G5: {message_id} is dead-lettered though it never failed by itself: {why}")


class _Reached:
    """Decides whether a fault explains that a run was interrupted or repeated."""

    def __init__(self, evidence: Evidence) -> None:
        self._strikes = [strike for strike in evidence.strikes if strike.reach is not Reach.NOTHING]
        self._outages = [strike for strike in evidence.strikes if strike.is_outage]
        self._last = {id(run) for strike in self._strikes for run in _last_runs(strike, evidence.runs)}
        self._since_s = {id(strike): self._acks_missing_since(strike) for strike in self._strikes}

    def by_any(self, run: Run) -> bool:
        return id(run) in self._last or any(self._by(strike, run) for strike in self._strikes)

    def _by(self, strike: Strike, run: Run) -> bool:
        if strike.reach is Reach.LAST:
            return False
        pids = strike.pids if run.end is None else strike.pids | strike.former_pids
        if strike.reach is Reach.POOL and run.pid not in pids:
            return False
        if strike.reach is Reach.EVERYTHING and run.start.time_s > strike.healed_s + _RETURN_S:
            return False
        return run.end is None or run.end.time_s >= self._since_s[id(strike)]

    def _acks_missing_since(self, strike: Strike) -> float:
        """The earliest time from which an ack may still have been pending when this fault struck."""
        since_s = strike.at_s - (_LAG_S if strike.reach is Reach.EVERYTHING else _FLUSH_S)
        for outage in self._outages:
            if outage.at_s <= strike.at_s <= outage.healed_s + _RETURN_S:
                since_s = min(since_s, outage.at_s - _FLUSH_S)
        return since_s


def _last_runs(strike: Strike, runs: Sequence[Run]) -> Iterator[Run]:
    """The last run of each killed worker: its ack was not sent yet, or may have been in transit."""
    if strike.reach in (Reach.LAST, Reach.POOL):
        pids = strike.pids | strike.former_pids
        begun = {run.pid: run for run in runs if run.pid in pids and run.start.time_s <= strike.at_s}
        yield from begun.values()


def struck(strikes: Sequence[Strike]) -> dict[str, int]:
    """How often each kind of fault has struck, by name."""
    return dict(sorted(Counter(strike.kind for strike in strikes).items()))
