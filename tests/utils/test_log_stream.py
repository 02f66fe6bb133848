"""Lines written to a descriptor: complete, in order, and without changing the shared descriptor."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import sys
from typing import Iterator

import pytest

from bizzmq.utils import log_stream, logs
from bizzmq.utils.log_stream import DROPPED, LineHandler, LineWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(read end, write end) of a pipe with a buffer of one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, getattr(fcntl, "F_SETPIPE_SZ", 1031), 4096)
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read(descriptor: int) -> bytes:
    data = b""
    try:
        while True:
            data += os.read(descriptor, 65_536)
    except BlockingIOError:
        return data


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_descriptor_itself_is_unchanged(pipe: tuple[int, int]) -> None:
    LineWriter(pipe[1]).write(b"line\n")

    assert os.get_blocking(pipe[1]), "other users of the pipe would get errors instead of waiting"
    assert read(pipe[0]) == b"line\n"


@pytest.mark.parametrize("size", [10, 3_000, 4_096, 9_000])
def test_lines_of_any_length_are_complete_and_in_order(pipe: tuple[int, int], size: int) -> None:
    writer, taken, data = LineWriter(pipe[1]), [], b""
    lines = [b"%03d" % number + b"." * size + b"\n" for number in range(40)]

    for number, line in enumerate(lines):
        if writer.write(line):
            taken.append(line)
        if number % 3 == 2:
            data += read(pipe[0])
    while not writer.write(b"end\n"):
        data += read(pipe[0])
    data += read(pipe[0])

    assert data == b"".join(taken) + b"end\n"
    assert len(taken) > 1


def test_without_a_descriptor_of_its_own_it_writes_when_there_is_room(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(log_stream.os, "open", refuse)
        writer = LineWriter(pipe[1])

    results = [writer.write(b"." * 999 + b"\n") for _ in range(10)]

    assert results[0]
    assert not results[-1]
    assert writer.problem == "nobody reads them"
    assert read(pipe[0]) == (b"." * 999 + b"\n") * sum(results)
    assert writer.write(b"again\n")


def test_a_gap_is_reported_once_by_its_process(pipe: tuple[int, int]) -> None:
    handler = LineHandler(pipe[1])
    handler.setFormatter(logs.TextFormatter())
    _emit(handler, 100)
    output = read(pipe[0])
    child = os.fork()
    if child == 0:
        _emit(handler, 1)
        os._exit(0)
    os.waitpid(child, 0)
    of_the_child = read(pipe[0]).decode()

    _emit(handler, 1)

    assert of_the_child.count("\n") == 1, "a fork reported the gap of its parent"
    gap, line = read(pipe[0]).decode().splitlines()
    assert f'{DROPPED} lines={100 - output.count(b"INFO")} why="nobody reads them"' in gap
    assert "something" in line
    handler.flush()
    assert read(pipe[0]) == b""


def test_a_record_that_cannot_be_rendered_is_reported_in_its_line(pipe: tuple[int, int]) -> None:
    handler = LineHandler(pipe[1])

    handler.handle(logging.LogRecord("theirs", logging.INFO, "", 0, "%d", ("no number",), None))

    assert read(pipe[0]) == b"a log record of theirs cannot be formatted: TypeError\n"


def test_a_stream_that_is_not_a_file_is_written_to_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure("info", "text")
        logging.getLogger("any").warning("a line")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    assert "a line" in stream.getvalue()


def _emit(handler: LineHandler, count: int) -> None:
    for _ in range(count):
        handler.handle(logging.LogRecord("any", logging.INFO, "", 0, "something", None, None))
