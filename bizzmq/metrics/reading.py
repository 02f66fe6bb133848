"""Reads the history of a queue: the operation of `BizzMQ.metrics`, and the samples from which rates are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from bizzmq.broker.operations import Operation, Together, command
from bizzmq.broker.queues import read_shards
from bizzmq.errors import ConfigurationError, QueueNotFoundError
from bizzmq.metrics.columns import KEY_PREFIX, is_key
from bizzmq.metrics.deploys import deploys_of
from bizzmq.metrics.history import DEPLOY, LEVELS, REPORT, Level, read_chunk, read_report
from bizzmq.metrics.series import Measures, QueueMetrics, QueueState, QueueStep, measures_of
from bizzmq.metrics.steps import TOTALS, Cells, Sample, Step, add_cells
from bizzmq.protocol.keys import QueueKeys
from bizzmq.validation import checks

_NICE_STEPS_S = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
_MOST_STEPS, _USUAL_STEPS = 3000, 360
_Key = Tuple[str, int, int]


class Window(NamedTuple):
    """The time of a history that is read.

    Attributes:
        level: whose steps are read.
        last_s, step_s: how far back, and the length of the steps that are made.
    """

    level: Level
    last_s: int
    step_s: int


def checked_window(last_s: float | timedelta, step_s: float | timedelta | None) -> Window:
    """What to read. Raises ConfigurationError."""
    last = int(checks.seconds("last_s", last_s, above=True))
    if not LEVELS[0].step_s <= last <= LEVELS[-1].reach_s:
        raise ConfigurationError(f"last_s must be {LEVELS[0].step_s} to {LEVELS[-1].reach_s} s, not {last}")
    if step_s is None:
        step = next(one for one in _NICE_STEPS_S if last / one <= _USUAL_STEPS and _level_of(last, one) is not None)
    else:
        step = int(checks.seconds("step_s", step_s, above=True))
    level = _level_of(last, step)
    if level is None:
        finest = next(one for one in LEVELS if last <= one.reach_s)
        raise ConfigurationError(f"step_s must be a multiple of {finest.step_s} s for the last {last} s, not {step}")
    if last / step > _MOST_STEPS:
        raise ConfigurationError(f"step_s must be longer: {last} s have more than {_MOST_STEPS} steps of {step} s")
    return Window(level, last, step)


def _level_of(last_s: int, step_s: int) -> Optional[Level]:
    """The coarsest level that has what is needed; None if no one has."""
    found = [one for one in LEVELS if last_s <= one.reach_s and step_s % one.step_s == 0 and step_s >= one.step_s]
    return found[-1] if found else None


def read_metrics(k: QueueKeys, window: Window) -> Operation[QueueMetrics]:
    """The history of a queue, over all its shards. Raises QueueNotFoundError, DecodeError."""
    exists, clock = yield Together([("EXISTS", k.meta), ("TIME",)])
    if not exists:
        raise QueueNotFoundError(k.queue)
    now_s = int(clock[0])
    begins_s = (now_s - window.last_s) // window.step_s * window.step_s
    merger = _Merger(window, begins_s, now_s)
    deploys: Mapping[bytes, bytes] = {}
    for number, shard in enumerate((yield from read_shards(k))):
        fields = yield from _read_fields(shard, merger.first_s, now_s, window.level)
        merger.add(_steps_of(fields, window.level))
        if number == 0:
            deploys = {name: value for name, value in fields.items() if name.startswith(DEPLOY)}
    return QueueMetrics(
        k.queue, window.step_s, merger.steps(k.is_dead_letter_queue), merger.tasks(), deploys_of(deploys, begins_s),
        merger.keys(),
    )  # fmt: skip


def _read_fields(k: QueueKeys, first_s: int, now_s: int, level: Level) -> Operation[Dict[bytes, bytes]]:
    """The chunks of this time, with all reports and deploys."""
    names = yield command("HKEYS", k.metrics)
    if not names:
        return {}
    chunks = [level.field(one) for one in range(level.chunk_of(first_s * 1000), level.chunk_of(now_s * 1000) + 2)]
    wanted = [*chunks, *(name for name in names if name.startswith((REPORT, DEPLOY)))]
    values = yield command("HMGET", k.metrics, *wanted)
    return {name: value for name, value in zip(wanted, values) if value is not None}


@dataclass
class _Shard:
    """What a shard has at one level. Times are seconds since the epoch.

    Attributes:
        steps: by when they begin, without rows.
        rows: by task or key, when the row begins, and how long it lasts.
    """

    steps: Dict[int, Step] = field(default_factory=dict)
    rows: Dict[_Key, Cells] = field(default_factory=dict)


def _steps_of(fields: Mapping[bytes, bytes], level: Level) -> _Shard:
    """All steps in these fields, those of the chunks and those of the reports."""
    found = _Shard()
    for name, value in fields.items():
        if name.startswith(REPORT):
            report = read_report(value)
            if report is not None:
                at_s = report.at_ms // 1000 // level.step_s * level.step_s
                _add(found, at_s, report.step, level.step_s)
        elif name.startswith(level.letter + b":"):
            start_s, chunk = int(name[2:]) * level.chunk_s, read_chunk(value)
            for number, step in chunk.steps.items():
                at_s = number * level.step_s
                _add(found, start_s + at_s, step, min(chunk.stride * level.step_s, level.chunk_s - at_s))
    return found


def _add(found: _Shard, at_s: int, step: Step, lasts_s: int) -> None:
    found.steps.setdefault(at_s, Step()).add(step.without_rows())
    for task, cells in step.rows.items():
        add_cells(found.rows.setdefault((task, at_s, lasts_s), {}), cells)


class _Merger:
    """Makes the steps of the queue from those of all its shards."""

    def __init__(self, window: Window, begins_s: int, now_s: int) -> None:
        self._step_s, self._begins_s, self._now_s = window.step_s, begins_s, now_s
        self.first_s = begins_s - window.step_s
        """The step before is read for its sample."""
        self._totals: Dict[int, Cells] = {}
        self._rows: Dict[_Key, Cells] = {}
        self._samples: List[Dict[int, Sample]] = []

    def add(self, shard: _Shard) -> None:
        """Add the steps of a shard."""
        samples: Dict[int, Sample] = {}
        for at_s, step in sorted(shard.steps.items()):
            place_s = at_s // self._step_s * self._step_s
            if place_s >= self._begins_s:
                add_cells(self._totals.setdefault(place_s, {}), step.total)
            if step.sample is not None and place_s >= self.first_s:
                before = samples.get(place_s)
                oldest_ms = max(step.sample.oldest_ms, before.oldest_ms if before else 0)
                samples[place_s] = step.sample._replace(oldest_ms=oldest_ms)
        for (task, at_s, lasts_s), cells in shard.rows.items():
            place_s = at_s if lasts_s > self._step_s else at_s // self._step_s * self._step_s
            if place_s + max(lasts_s, self._step_s) > self._begins_s:
                add_cells(self._rows.setdefault((task, place_s, max(lasts_s, self._step_s)), {}), cells)
        self._samples.append(samples)

    def steps(self, is_dead_letter_queue: bool) -> Tuple[QueueStep, ...]:
        growths = [_growths(samples) for samples in self._samples]
        return tuple(
            QueueStep(
                measures_of(self._totals.get(at_s, {}), at_s, self._step_s),
                _summed([grown[at_s] for grown in growths if at_s in grown]),
                _state([found[at_s] for found in self._samples if at_s in found], is_dead_letter_queue),
            )
            for at_s in range(self._begins_s, self._now_s + 1, self._step_s)
        )

    def tasks(self) -> Dict[str, Tuple[Measures, ...]]:
        return {name: steps for name, steps in self._rows_by_name().items() if not is_key(name)}

    def keys(self) -> Dict[str, Tuple[Measures, ...]]:
        return {name[len(KEY_PREFIX) :]: steps for name, steps in self._rows_by_name().items() if is_key(name)}

    def _rows_by_name(self) -> Dict[str, Tuple[Measures, ...]]:
        found: Dict[str, List[Measures]] = {}
        for (name, at_s, lasts_s), cells in sorted(self._rows.items()):
            found.setdefault(name, []).append(measures_of(cells, at_s, lasts_s))
        return {name: tuple(steps) for name, steps in found.items()}


def _growths(samples: Mapping[int, Sample]) -> Dict[int, Tuple[int, ...]]:
    """By how much the totals have grown until each sample since the one before."""
    found: Dict[int, Tuple[int, ...]] = {}
    before: Optional[Tuple[int, ...]] = None
    for at_s, sample in sorted(samples.items()):
        now = sample.totals
        if before is not None:
            is_new = any(is_ < was for is_, was in zip(now, before))  # the queue was deleted and created again
            found[at_s] = now if is_new else tuple(is_ - was for is_, was in zip(now, before))
        before = now
    return found


def _summed(growths: Sequence[Tuple[int, ...]]) -> Dict[str, int]:
    return dict(zip(TOTALS, map(sum, zip(*growths)))) if growths else {}


def _state(samples: Sequence[Sample], is_dead_letter_queue: bool) -> Optional[QueueState]:
    if not samples:
        return None
    waiting, delayed, letters = (
        sum(getattr(one, name) for one in samples) for name in ("waiting", "delayed", "letters")
    )
    processing = sum(one.processing for one in samples)
    if is_dead_letter_queue:
        letters = sum(one.stored for one in samples)
    return QueueState(waiting, delayed, processing, letters, max(one.oldest_ms for one in samples) / 1000)
