"""The ledger of the demo's handlers: which message ran in which process, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One run of a message.

    Attributes:
        start_s, end_s: monotonic seconds; `end_s` is None if the run has not ended.
        about: the further fields that the handler wrote at the start.
    """

    message_id: str
    pid: int
    start_s: float
    end_s: float | None
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Balance:
    """The result of a demo.

    Attributes:
        published, handled: numbers of messages.
        twice: how many messages were handled more than once.
        recovery_s: seconds from the kill until the killed worker's message ran again; None if it did not.
        work_s: seconds that the workers spent in the handler, in total.
        span_s: seconds from the first start to the last end.
    """

    published: int
    handled: int
    twice: int
    recovery_s: float | None
    work_s: float
    span_s: float

    @property
    def lost(self) -> int:
        return self.published - self.handled


def read_runs(folder: Path) -> list[Run]:
    """All runs so far, by process and then in their order."""
    runs = []
    for file in sorted(folder.iterdir()):
        pid = int(file.name)
        started: Run | None = None
        for line in file.read_text(encoding="ascii").splitlines():
            what, message_id, at, *about = line.split()
            if started is not None:
                runs.append(replace(started, end_s=float(at)) if what == "end" else started)
            started = Run(message_id, pid, float(at), None, tuple(about)) if what == "start" else None
        if started is not None:
            runs.append(started)
    return runs


def balance(runs: list[Run], published: list[str], victim: int, killed_s: float) -> Balance:
    """Count the handled messages, and measure how soon the killed worker's message ran again."""
    ended = [run for run in runs if run.end_s is not None]
    counts: dict[str, int] = {}
    for run in ended:
        counts[run.message_id] = counts.get(run.message_id, 0) + 1
    interrupted = {run.message_id for run in runs if run.pid == victim and run.end_s is None}
    again = [r.start_s - killed_s for r in runs if r.message_id in interrupted and r.start_s > killed_s]
    return Balance(
        published=len(published),
        handled=sum(1 for message_id in published if message_id in counts),
        twice=sum(1 for count in counts.values() if count > 1),
        recovery_s=min(again) if again else None,
        work_s=sum(run.end_s - run.start_s for run in ended if run.end_s is not None),
        span_s=max(run.end_s or 0.0 for run in ended) - min(run.start_s for run in runs) if ended else 0.0,
    )
