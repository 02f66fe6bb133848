"""The balance of a torture: what was published against what ran and was dead-lettered, and why anything ran again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence

from bizzmq.testing.ledger import Run
from bizzmq.testing.strike import Reach, Strike

CRASHED = "WorkerCrashed"
"""The error type of a dead letter that has killed its workers."""
_MOST = 20
"""So many problems are enough."""
_FLUSH_S = 1.0
"""So long before a fault a run may have ended whose ack was lost with it: acks wait for the next claim."""
_LAG_S = 3.0
"""So far a replica that takes over may be behind; on a machine that has much else to do."""
_RETURN_S = 5.0
"""So long after an outage its clients are back, and have sent the acks that had waited."""


@dataclass(frozen=True)
class Evidence:
    """Everything that is known in the end.

    Attributes:
        published: ids whose publish has returned, confirmed if that was asked for.
        unsure: ids that are published but not confirmed; they may be lost, and may be handled.
        doubtful: how many publishes have failed, each of which may have published one more.
        runs: by their start.
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
    """What it comes to. `problems` says in words what must not be; empty is what is hoped for.

    Attributes:
        failed: dead letters whose own handler has failed, or crashed.
        lost: published, confirmed, and nowhere.
        cut_off: runs that a fault cut off, and that were repeated.
        twice: runs that had ended well and were repeated, because a fault took their ack.
        retried: runs that their handler failed, and that were repeated.
        crashed: runs that ended with their worker without any fault: the handler's own crashes.
        doubtful: publishes that have failed: each may have published a message, or not.
        unconfirmed: published, and gone with a server before anything had confirmed it: their publisher was told.
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
    """An error of the handler, in one line, as the end of a sentence."""
    record = next(iter(evidence.dead.values()), None)
    if record is None:
        return ""
    said = " ".join(f"{record.get('error_type')}: {record.get('error')}".split())
    return f"; the handler's error: {said[:200]}"


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
    """Tells whether a fault explains that a run was cut off, or that it was repeated."""

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
        """From when on acks may have been waiting when this fault struck."""
        since_s = strike.at_s - (_LAG_S if strike.reach is Reach.EVERYTHING else _FLUSH_S)
        for outage in self._outages:
            if outage.at_s <= strike.at_s <= outage.healed_s + _RETURN_S:
                since_s = min(since_s, outage.at_s - _FLUSH_S)
        return since_s


def _last_runs(strike: Strike, runs: Sequence[Run]) -> Iterator[Run]:
    """What the killed workers had begun last: its ack had not been sent, or may have been on its way."""
    if strike.reach in (Reach.LAST, Reach.POOL):
        pids = strike.pids | strike.former_pids
        begun = {run.pid: run for run in runs if run.pid in pids and run.start.time_s <= strike.at_s}
        yield from begun.values()


def struck(strikes: Sequence[Strike]) -> dict[str, int]:
    """How often each kind has struck, by name."""
    return dict(sorted(Counter(strike.kind for strike in strikes).items()))
