"""Chunks of a history: what is stored is read again, forged bytes are refused, and a full history stays small."""

from __future__ import annotations

import random
import zlib
from typing import Dict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bizzmq.errors import DecodeError
from bizzmq.metrics.chunk import STRIDES, Chunk, decode
from bizzmq.metrics.columns import CPU, MEMORY, MOST_TASKS, OTHER, RUN, WAIT
from bizzmq.metrics.history import LEVELS, Level
from bizzmq.metrics.steps import Cells, Sample, Step, add_cells
from tests.support.examples import examples

MAX_BYTES = 1024 * 1024


def step(rows: Dict[str, Cells], sample: Sample | None = None) -> Step:
    made = Step(sample)
    made.rows = rows
    for cells in rows.values():
        add_cells(made.total, cells)
    return made


def seen(chunk: Chunk) -> Dict[int, object]:
    return {number: (one.rows, one.total, one.sample) for number, one in chunk.steps.items()}


# Sums stay below 2**64: greater ones are stored as the greatest that fits.
CELLS = st.dictionaries(st.sampled_from([0, 1, RUN, RUN + 3, WAIT, CPU, MEMORY]), st.integers(1, 2**60), max_size=4)
ROWS = st.dictionaries(st.text(max_size=20).filter(lambda name: name < "\ud800" or name > "\udfff"), CELLS, max_size=4)
SAMPLES = st.builds(Sample, *[st.integers(1, 2**53)] * 16)


@settings(max_examples=examples(100), deadline=None, database=None)
@given(st.dictionaries(st.integers(0, 59), st.tuples(ROWS, st.none() | SAMPLES), max_size=6))
def test_what_is_stored_is_read_again(given_steps: Dict[int, tuple[Dict[str, Cells], Sample | None]]) -> None:
    chunk = Chunk()
    for number, (rows, sample) in given_steps.items():
        filled = {task: dict(cells) for task, cells in rows.items() if cells and task.encode("utf-8", "ignore")}
        chunk.add(number, step(filled, sample))

    assert seen(decode(chunk.encode())) == seen(chunk)


@settings(max_examples=examples(100), deadline=None, database=None)
@given(st.binary(max_size=200), st.integers(0, 100))
def test_forged_bytes_are_refused_or_read_as_a_chunk(data: bytes, cut: int) -> None:
    for stored in (data, zlib.compress(b"\x01" + data), zlib.compress(data)[:cut]):
        try:
            decode(stored)
        except DecodeError:
            pass


def test_a_bomb_is_refused() -> None:
    with pytest.raises(DecodeError, match="too large"):
        decode(zlib.compress(bytes(100_000_000)))


def test_tasks_beyond_the_bound_are_other() -> None:
    chunk = Chunk()
    for number in range(60):
        chunk.add(number, step({f"task{number}.{index}": {0: 1} for index in range(10)}))

    read = decode(chunk.encode())

    tasks = {task for one in read.steps.values() for task in one.rows}
    assert len(tasks) == MOST_TASKS + 1
    assert OTHER in tasks
    assert sum(cells[0] for one in read.steps.values() for cells in one.rows.values()) == 600


def busy(level: Level, tasks: int) -> Chunk:
    """A chunk in which all tasks were busy all the time, with times and counts that do not compress well."""
    chunk, rng = Chunk(), random.Random(1)
    for number in range(level.chunk_s // level.step_s):
        rows: Dict[str, Cells] = {}
        for index in range(tasks):
            count = max(1, round(rng.gauss(1, 0.2) * level.step_s * (1 + index % 10)))
            cells: Cells = {0: count, 1: rng.randrange(3), MEMORY: 40_000 + rng.randrange(1000)}
            for at in (RUN, WAIT):
                cells[at] = rng.randrange(count * 10_000_000)
                for place in range(5):
                    cells[at + 10 + place] = rng.randrange(count + 1)
            cells[CPU] = rng.randrange(count * 1_000_000)
            rows[f"application.tasks.module{index % 7}.task_{index}"] = cells
        chunk.add(number, step(rows, Sample(1_796_069_762_435 + number, *[rng.randrange(10_000_000)] * 15)))
    return chunk


@pytest.mark.parametrize("tasks", [5, 20, 100])
def test_a_full_history_is_below_a_megabyte_and_loses_no_count(tasks: int) -> None:
    total = 0
    for level in LEVELS:
        chunk = busy(level, tasks)
        before = sum(one.total[0] for one in chunk.steps.values())
        stored = chunk.encode(level.most_bytes)
        read = decode(stored)
        assert sum(one.total[0] for one in read.steps.values()) == before
        assert sum(cells[0] for one in read.steps.values() for cells in one.rows.values()) == before
        assert len(read.steps) == level.chunk_s // level.step_s, "the queue's own steps stay"
        total += len(stored) * (level.kept + 1)

    assert total < MAX_BYTES
    print(f"{tasks} tasks: {total:,} bytes")  # noqa: T201 - for pytest's report


def test_a_chunk_that_became_coarser_goes_on() -> None:
    level = LEVELS[1]
    chunk = busy(level, 100)
    read = decode(chunk.encode(level.most_bytes))
    assert read.stride in STRIDES[2:]
    before = sum(cells[0] for one in read.steps.values() for cells in one.rows.values())

    read.add(59, step({"application.tasks.module0.task_0": {0: 7}}))

    again = decode(read.encode(level.most_bytes))
    assert sum(cells[0] for one in again.steps.values() for cells in one.rows.values()) == before + 7
    assert {number % again.stride for number, one in again.steps.items() if one.rows} == {0}
