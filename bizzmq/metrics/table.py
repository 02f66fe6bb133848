"""A table of measured rows in a buffer: the shared memory of a pool, or the memory of one process.

One process writes it at a time, and others read it meanwhile: each cell is a float of eight bytes, written in one step.
A handler's C code may overwrite it. Its figures are then wrong, but can be read.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Dict, Iterator, NamedTuple, Sequence, Tuple, Union

from bizzmq.metrics.columns import COLUMNS, KEY_PREFIX, MEMORY, is_key, most_of, other_of

_CELL = 8
_NAME_CELLS = 12
_NAME_HEAD = struct.Struct("=BB")  # index of the queue, length of the name
NAME_BYTES = _NAME_CELLS * _CELL - _NAME_HEAD.size
"""Longer names of tasks, and longer keys, lose their beginning."""
_ROW = _NAME_CELLS + COLUMNS
_ROW_BYTES = COLUMNS * _CELL
_HEAD = 8
_USED, _OFFSET, _NUMBER, _IS_SENDING = range(4)
ROWS = 256
"""Rows of the table of one worker."""
_KEPT_FOR_OTHERS = 56
"""The last rows are for what is `other`, two for each queue; the very last one takes what finds no row."""
Key = Tuple[int, str]


class Row(NamedTuple):
    """A row.

    Attributes:
        queue: index of the queue.
        task: name of the task, or KEY_PREFIX and a key.
        cells: by the numbers of `columns`.
    """

    queue: int
    task: str
    cells: Sequence[float]


def size_of(rows: int = ROWS) -> int:
    """The bytes of a table. Memory that is never written costs nothing."""
    return (_HEAD + rows * _ROW) * _CELL


class MetricsTable:
    """Rows of one writer.

    Args:
        buffer: of `size_of(rows)` bytes, zeros or an earlier table.
    """

    def __init__(self, buffer: Union[bytearray, memoryview], rows: int = ROWS) -> None:
        self._bytes = memoryview(buffer)[: size_of(rows)]
        self._rows = rows
        self.cells = self._bytes.cast("d")
        self._places: Dict[Key, int] = {}
        self._counts: Dict[Tuple[int, bool], int] = Counter()  # by queue, and whether it is of a key
        self._known = 0

    @property
    def clock_offset_s(self) -> float:
        """Redis's clock minus this host's monotonic clock, seconds; 0.0 if it is not known."""
        return self.cells[_OFFSET]

    @clock_offset_s.setter
    def clock_offset_s(self, offset_s: float) -> None:
        self.cells[_OFFSET] = offset_s

    @property
    def number(self) -> int:
        """The number of the last report for which this table stands."""
        return int(possible(self.cells[_NUMBER]))

    @number.setter
    def number(self, number: int) -> None:
        self.cells[_NUMBER] = float(number)

    @property
    def is_sending(self) -> bool:
        """Whether this table is complete, and Redis has perhaps not received it yet."""
        return bool(self.cells[_IS_SENDING])

    @is_sending.setter
    def is_sending(self, is_sending: bool) -> None:
        self.cells[_IS_SENDING] = float(is_sending)

    def row(self, queue: int, task: str) -> int:
        """The index of the first cell of a row, which is added if it is missing."""
        found = self._places.get((queue, task))
        return self._find(queue, task) if found is None else found

    def _find(self, queue: int, task: str) -> int:
        """As `row`: rows that other writers have added are read first."""
        self._learn()
        name = _fitting(task)
        found = self._places.get((queue, name))
        if found is None:
            other = other_of(name)
            is_full = self._known >= self._rows - (name != other) * _KEPT_FOR_OTHERS
            if name != other and (is_full or self._counts[queue, is_key(name)] >= most_of(name)):
                found = self._find(queue, other)
            else:
                found = self._at(self._rows - 1) if is_full else self._add(queue, name)
        if len(self._places) < 4 * self._rows:  # names may be forged, and without number
            self._places[queue, task] = found
        return found

    def _add(self, queue: int, name: str) -> int:
        at, encoded = self._at(self._known), name.encode("utf-8", "replace")
        head = _NAME_HEAD.pack(queue, len(encoded)) + encoded
        start = (at - _NAME_CELLS) * _CELL
        self._bytes[start : start + len(head)] = head
        self._known += 1
        self._counts[queue, is_key(name)] += 1
        self._places[queue, name] = at
        self.cells[_USED] = float(self._known)  # last: a reader sees whole rows only
        return at

    def _learn(self) -> None:
        for number in range(self._known, self._used()):
            key = self._name(number)
            self._places[key] = self._at(number)
            self._counts[key[0], is_key(key[1])] += 1
            self._known = number + 1

    def _name(self, number: int) -> Key:
        start = (self._at(number) - _NAME_CELLS) * _CELL
        queue, length = _NAME_HEAD.unpack_from(self._bytes, start)
        start += _NAME_HEAD.size
        return queue, bytes(self._bytes[start : start + length]).decode("utf-8", "replace")

    @staticmethod
    def _at(number: int) -> int:
        return _HEAD + number * _ROW + _NAME_CELLS

    def rows(self) -> Iterator[Row]:
        """All rows as they are now."""
        for number in range(self._used()):
            at = self._at(number)
            cells = self.cells[at : at + COLUMNS].tolist()
            total = sum(cells)
            yield Row(*self._name(number), cells if possible(total) == total else list(map(possible, cells)))

    def _used(self) -> int:
        return min(self._rows, int(possible(self.cells[_USED])))

    def zero(self) -> None:
        """Make all cells of all rows 0. Their names stay."""
        for number in range(self._used()):
            start = self._at(number) * _CELL
            self._bytes[start : start + _ROW_BYTES] = bytes(_ROW_BYTES)

    def put(self, row: Row) -> None:
        """Replace the cells of the row with this name, which is added if it is missing."""
        at = self.row(row.queue, row.task)
        for column, value in enumerate(row.cells):
            self.cells[at + column] = value

    def add(self, row: Row) -> None:
        """Add a row to the one with its name. Of two memory peaks, the higher one counts."""
        at = self.row(row.queue, row.task)
        cells = self.cells
        for column, value in enumerate(row.cells):
            if value:
                place = at + column
                cells[place] = max(cells[place], value) if column == MEMORY else cells[place] + value


def possible(value: float, most: float = 2.0**63) -> float:
    """A count or a time; 0.0 for what none can be: a negative one, `most` and more, and NaN."""
    return value if 0.0 <= value < most else 0.0


def _fitting(name: str) -> str:
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= NAME_BYTES:
        return encoded.decode("utf-8")
    prefix = KEY_PREFIX if is_key(name) else ""
    return prefix + encoded[len(prefix) - NAME_BYTES :].decode("utf-8", "ignore")
