"""Recovery times: from each fault until the work that it interrupted or stopped runs again."""

from __future__ import annotations

import bisect
from typing import Mapping, NamedTuple, Sequence

from bizzmq.testing.ledger import Run
from bizzmq.testing.strike import Reach, Strike


class Recovery(NamedTuple):
    """The work continued `took_s` seconds after a fault that struck at `at_s` (monotonic)."""

    kind: str
    at_s: float
    took_s: float


def recoveries(
    strikes: Sequence[Strike], runs: Sequence[Run], published_at_s: Mapping[str, float] | None = None
) -> list[Recovery]:
    """One for each message that a fault interrupted and for each outage; a kind that stops nothing has none.

    After workers are killed: from the kill to the next run of each interrupted message. After an outage: from its end
    to the next run that starts; if the servers themselves end it, from its start to the first run of a message that
    was published after it. If two faults that stop work overlap, the delay cannot be attributed and is left out.
    """
    starts_s = [run.start.time_s for run in runs]
    following = _following(runs)
    lasting = (strike for strike in strikes if strike.healed_s > strike.at_s)
    stopping = [strike for strike in lasting if strike.is_outage or strike.reach is Reach.POOL]
    found: list[Recovery] = []
    claimed: set[int] = set()

    def note(strike: Strike, from_s: float, to_s: float) -> None:
        assert from_s <= to_s, f"{strike.kind}: the work went on {from_s - to_s} s before it was stopped"
        others = (other for other in stopping if other is not strike)
        if not any(other.at_s < to_s and other.healed_s > strike.at_s for other in others):
            found.append(Recovery(strike.kind, strike.at_s, to_s - from_s))

    for strike in sorted(strikes, key=lambda strike: strike.at_s):
        if strike.pids:
            for run in _cut_off(strike, runs, claimed):
                again = following.get(id(run))
                if again is not None and again.start.time_s > strike.at_s:
                    note(strike, strike.at_s, again.start.time_s)
        elif strike.is_outage:
            from_s = strike.at_s if strike.counts_from_strike else strike.healed_s
            later = (
                run
                for run in runs[bisect.bisect_right(starts_s, from_s) :]
                if not strike.counts_from_strike or _is_fresh(strike, run, published_at_s or {})
            )
            first = next(later, None)
            if first is not None:
                note(strike, from_s, first.start.time_s)
    return found


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that is not exceeded by `percent` percent of the values; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-int(percent * len(ordered)) // 100) - 1)]


def _is_fresh(strike: Strike, run: Run, published_at_s: Mapping[str, float]) -> bool:
    """Whether this message of the stopped queue was published after the fault."""
    is_its = strike.queue in ("", run.start.fields.get("queue"))
    return is_its and published_at_s.get(run.id, 0.0) > strike.at_s


def _cut_off(strike: Strike, runs: Sequence[Run], claimed: set[int]) -> list[Run]:
    """The runs without an end that this fault interrupted, and no earlier one."""
    found = [
        run
        for run in runs
        if run.end is None and run.pid in strike.pids and id(run) not in claimed and _before(run, strike)
    ]
    claimed.update(id(run) for run in found)
    return found


def _before(run: Run, strike: Strike) -> bool:
    """A supervisor's workers outlive it for a while."""
    return run.start.time_s <= strike.at_s or strike.reach is Reach.POOL


def _following(runs: Sequence[Run]) -> Mapping[int, Run]:
    """The next run of the same message, for each run."""
    following: dict[int, Run] = {}
    latest: dict[str, Run] = {}
    for run in runs:
        if run.id in latest:
            following[id(latest[run.id])] = run
        latest[run.id] = run
    return following
