"""The external ledger: what really happened, written down outside Redis.

Every process appends to a file of its own, so it needs no lock and the death of another process cannot damage it.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping

from bizzmq.testing.wait import eventually

LEDGER_VARIABLE = "BIZZMQ_LEDGER"
TORTURED_VARIABLE = "BIZZMQ_TORTURED"
"""Names the handler that RECORDED wraps, as MODULE:CALLABLE."""
RECORDED = "bizzmq.testing.tortured:handler"
"""A handler that writes into the ledger before and after each run of another one."""
PUBLISHED, START, END = "published", "start", "end"


@dataclass(frozen=True)
class Event:
    """One line of the ledger. `time_s` is monotonic and, on Linux, the same clock in all processes."""

    kind: str
    id: str
    pid: int
    time_s: float
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a handler; `end` is None while it runs and for ever if its process died."""

    start: Event
    end: Event | None

    @property
    def id(self) -> str:
        return self.start.id

    @property
    def pid(self) -> int:
        return self.start.pid

    @property
    def delivery(self) -> int:
        return int(self.start.fields["delivery"])

    @property
    def succeeded(self) -> bool:
        return self.end is not None and self.end.fields.get("outcome") == "ok"


def record(kind: str, message_id: str, **fields: Any) -> None:
    """Append to the ledger in the directory that BIZZMQ_LEDGER names; it is on disk when this returns."""
    append(Path(os.environ[LEDGER_VARIABLE]), kind, message_id, fields)


def append(directory: Path, kind: str, message_id: str, fields: Mapping[str, Any]) -> None:
    """Write one line with one call: a killed process leaves no partial line."""
    pid = os.getpid()
    line = {"kind": kind, "id": message_id, "pid": pid, "time_s": time.monotonic(), "fields": fields}
    # Opened for each line: a forked child must not write into its parent's file.
    descriptor = os.open(directory / f"{pid}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def recorded(handler: str, ledger: Ledger) -> dict[str, Any]:
    """Arguments for Pool: it runs this handler, MODULE:CALLABLE, unchanged, and records each run in the ledger."""
    return {"handler": RECORDED, "env": {TORTURED_VARIABLE: handler, LEDGER_VARIABLE: str(ledger.directory)}}


class Ledger:
    """Reads all files of one directory; each call includes everything written before it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._read_bytes: dict[Path, int] = {}
        self._events: list[Event] = []

    def record(self, kind: str, message_id: str, **fields: Any) -> None:
        """Append to this ledger, independent of the environment."""
        append(self.directory, kind, message_id, fields)

    def record_published(self, *ids: str) -> None:
        """Record ids after their publish has returned."""
        for message_id in ids:
            self.record(PUBLISHED, message_id)

    def events(self, kind: str | None = None) -> list[Event]:
        """All events, or those of one kind, in the order of time."""
        self._read_on()
        return [event for event in self._events if kind is None or event.kind == kind]

    def published(self) -> list[str]:
        """The ids whose publish returned, in that order."""
        return [event.id for event in self.events(PUBLISHED)]

    def starts(self) -> list[Event]:
        return self.events(START)

    def ends(self) -> list[Event]:
        return self.events(END)

    def runs(self) -> list[Run]:
        """All runs in the order of their start. An end belongs to the latest start of its id in the same process."""
        runs: list[Run] = []
        running: dict[tuple[int, str], int] = {}
        for event in self.events():
            if event.kind == START:
                running[event.pid, event.id] = len(runs)
                runs.append(Run(event, None))
            elif event.kind == END:
                index = running.pop((event.pid, event.id))
                runs[index] = Run(runs[index].start, event)
        return runs

    def runs_of(self, message_id: str) -> list[Run]:
        return [run for run in self.runs() if run.id == message_id]

    def handled(self) -> set[str]:
        """The ids with at least one successful run."""
        return {run.id for run in self.runs() if run.succeeded}

    def running(self, at_s: float | None = None) -> list[Run]:
        """The runs that had started but not ended at this time; without a time, the runs without an end now.

        A run whose process died counts as running forever.
        """
        if at_s is None:
            return [run for run in self.runs() if run.end is None]
        return [run for run in self.runs() if run.start.time_s <= at_s and (run.end is None or run.end.time_s > at_s)]

    def duplicates(self) -> dict[str, int]:
        """The number of runs beyond the first for each id that had more than one."""
        counts = Counter(event.id for event in self.starts())
        return {message_id: count - 1 for message_id, count in counts.items() if count > 1}

    def wait_for(self, condition: Callable[[Ledger], Any], timeout_s: float = 30.0, what: str = "the ledger") -> None:
        """Return when the condition is true; AssertionError with the totals of the ledger if that is not in time."""
        eventually(lambda: condition(self), timeout_s, lambda: f"{what}; the ledger has {self.totals()}")

    def wait_started(self, message_id: str, runs: int = 1, timeout_s: float = 30.0) -> Run:
        """Return the latest run of an id once it has had `runs` runs."""
        what = f"run {runs} of {message_id}"
        self.wait_for(lambda ledger: len(ledger.runs_of(message_id)) >= runs, timeout_s, what)
        return self.runs_of(message_id)[-1]

    def wait_handled(self, *ids: str, timeout_s: float = 30.0) -> None:
        """Return when each of these messages has been handled; without arguments, each published message."""
        wanted = set(ids or self.published())
        self.wait_for(lambda ledger: wanted <= ledger.handled(), timeout_s, f"{len(wanted)} messages to be handled")

    def totals(self) -> dict[str, int]:
        """The number of events by kind."""
        return dict(Counter(event.kind for event in self.events()))

    def _read_on(self) -> None:
        fresh: list[Event] = []
        for path in self.directory.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read_bytes.get(path, 0))
                lines, newline, _ = file.read().rpartition(b"\n")
            self._read_bytes[path] = self._read_bytes.get(path, 0) + len(lines) + len(newline)
            fresh.extend(Event(**json.loads(line)) for line in lines.splitlines())
        if fresh:
            self._events = sorted(self._events + fresh, key=lambda event: event.time_s)
