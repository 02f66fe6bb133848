"""A chunk: consecutive steps of a history as they are stored, by columns of the smallest width, and compressed.

The queue's own columns have all steps. If the chunk would become too large, the tasks' rows of neighbouring steps are
added up until it fits: many busy tasks have a coarser history, and few or quiet ones a full one.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from typing import Dict, List, Mapping, Sequence, Tuple

from bizzmq.errors import DecodeError
from bizzmq.metrics.columns import COLUMNS, CPU, MEMORY, MOST_KEYS, MOST_TASKS
from bizzmq.metrics.steps import SAMPLE_FIELDS, Cells, Sample, Step, add_cells, add_rows, name_among

STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""How many steps of a chunk can share the rows of their tasks."""
_FORMAT = 1
_WIDTHS = (("B", 1), ("H", 2), ("I", 4), ("Q", 8))
_LARGEST = 2**64 - 1
_MOST_BYTES = 8 * 1024 * 1024
_UNLIMITED = sys.maxsize
_MOST_STEPS = 1000
_UNSAMPLED = 0
_LEFT_OUT = range(CPU + 1, MEMORY)
"""The ranges of processor times are not kept: only their sum is."""
_IS_SWAPPED = sys.byteorder != "little"


class Chunk:
    """Steps of a history by their number.

    Attributes:
        stride: how many steps share the rows of their tasks, which are with the first of them.
    """

    def __init__(self, steps: Dict[int, Step] | None = None, stride: int = 1) -> None:
        self.steps = {} if steps is None else steps
        self.stride = stride
        self._names = {task for step in self.steps.values() for task in step.rows}

    def add(self, number: int, step: Step) -> None:
        """Add what was measured in a step."""
        self.steps.setdefault(number, Step()).add(step.without_rows())
        rows = self.steps.setdefault(number - number % self.stride, Step()).rows
        for row, cells in step.rows.items():
            name = name_among(self._names, row)
            self._names.add(name)
            add_cells(rows.setdefault(name, {}), cells)

    def encode(self, most_bytes: int = _UNLIMITED) -> bytes:
        """As it is stored, with a stride that makes it small enough, if one does."""
        encoded = self._encode()
        while len(encoded) > most_bytes and self.stride < STRIDES[-1]:
            excess = len(encoded) / most_bytes
            self._widen(next(stride for stride in STRIDES if stride >= min(self.stride * max(2, excess), STRIDES[-1])))
            encoded = self._encode()
        return encoded

    def _widen(self, stride: int) -> None:
        for number in sorted(self.steps):
            first = number - number % stride
            if first != number:
                rows, self.steps[number].rows = self.steps[number].rows, {}
                add_rows(self.steps.setdefault(first, Step()).rows, rows)
        self.stride = stride

    def _encode(self) -> bytes:
        numbers = sorted(self.steps)
        steps = [self.steps[number] for number in numbers]
        out = bytearray((_FORMAT,))
        _put(out, [self.stride])
        _put_all(out, numbers)
        for field in range(len(SAMPLE_FIELDS)):
            _put(out, [_UNSAMPLED if step.sample is None else step.sample[field] for step in steps])
        tasks = sorted({task for step in steps for task in step.rows})
        _put(out, [len(tasks)])
        _put_rows(out, "", [step.total for step in steps])
        with_rows = [index for index, step in enumerate(steps) if step.rows]
        _put_all(out, with_rows)
        for task in tasks:
            _put_rows(out, task, [steps[index].rows.get(task, {}) for index in with_rows])
        return zlib.compress(bytes(out), 9)


def _put_rows(out: bytearray, task: str, rows: Sequence[Mapping[int, int]]) -> None:
    name = task.encode("utf-8")
    columns = sorted({column for row in rows for column in row if column not in _LEFT_OUT})
    _put(out, [len(name), len(columns)])
    out += name
    _put(out, columns)
    for column in columns:
        _put(out, [row.get(column, 0) for row in rows])


def _put_all(out: bytearray, values: Sequence[int]) -> None:
    """Append numbers, and before them how many they are."""
    _put(out, [len(values)])
    _put(out, values)


def _put(out: bytearray, values: Sequence[int]) -> None:
    """Append numbers with the width of the largest one. What is too large for all widths counts as the largest."""
    largest = max(values, default=0)
    kind = next((kind for kind, (_, width) in enumerate(_WIDTHS) if largest < 1 << (8 * width)), len(_WIDTHS) - 1)
    column = array(_WIDTHS[kind][0], values if largest <= _LARGEST else [min(value, _LARGEST) for value in values])
    if _IS_SWAPPED:
        column.byteswap()
    out.append(kind)
    out += column.tobytes()


def decode(stored: bytes) -> Chunk:
    """A chunk from `encode`. Raises DecodeError."""
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(stored, _MOST_BYTES)
        if inflater.unconsumed_tail or not inflater.eof:
            raise DecodeError("stored metrics are too large, or cut off")
        return _Reader(data).chunk()
    except (zlib.error, IndexError, ValueError, OverflowError) as error:
        raise DecodeError(f"stored metrics are unreadable: {error}") from error


class _Reader:
    """Reads what `encode` has written."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 1
        if not data or data[0] != _FORMAT:
            raise DecodeError("stored metrics have another format: a newer release wrote them")

    def chunk(self) -> Chunk:
        (stride,) = self._column(1)
        numbers = self._all()
        if len(numbers) > _MOST_STEPS or stride not in STRIDES:
            raise DecodeError("stored metrics have too many steps")
        fields = [self._column(len(numbers)) for _ in SAMPLE_FIELDS]
        steps = [Step(_sample(values)) for values in zip(*fields)]
        self._read_rows(steps)
        return Chunk(dict(zip(numbers, steps)), stride)

    def _read_rows(self, steps: Sequence[Step]) -> None:
        (tasks,) = self._column(1)
        if tasks > MOST_TASKS + MOST_KEYS + 2:
            raise DecodeError("stored metrics have too many tasks")
        _, totals = self._rows(len(steps))
        for step, total in zip(steps, totals):
            step.total = total
        own = [steps[index] for index in self._all()]
        for _ in range(tasks):
            name, rows = self._rows(len(own))
            for step, row in zip(own, rows):
                if row:
                    step.rows[name] = row

    def _rows(self, count: int) -> Tuple[str, List[Cells]]:
        name_bytes, columns = self._column(2)
        name = self._take(name_bytes).decode("utf-8")
        numbers = self._column(columns)
        rows: List[Cells] = [{} for _ in range(count)]
        for number in numbers:
            if number >= COLUMNS:
                raise DecodeError("stored metrics have an unknown column")
            for row, value in zip(rows, self._column(count)):
                if value:
                    row[number] = value
        return name, rows

    def _all(self) -> Sequence[int]:
        (count,) = self._column(1)
        return self._column(count)

    def _column(self, count: int) -> Sequence[int]:
        code, width = _WIDTHS[self._take(1)[0]]
        column = array(code, self._take(count * width))
        if _IS_SWAPPED:
            column.byteswap()
        return column

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise DecodeError("stored metrics are cut off")
        self._at += count
        return taken


def _sample(values: Tuple[int, ...]) -> Sample | None:
    return Sample(*values) if values[0] != _UNSAMPLED else None
