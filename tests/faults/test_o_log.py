"""O1: the log's destination is full, blocked or without a reader. Work and supervision continue."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
from pathlib import Path
from typing import IO, Any, Callable, Iterator

import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, Scene
from tests.support.tmpfs import Tmpfs, can_mount, tmpfs

DROPPED = "log lines were dropped"
F_SETPIPE_SZ = 1031
PAGE = 4096


class Reader:
    """The other end of a pipe or a socket, which reads on request."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = b""
        os.set_blocking(descriptor, False)

    def read(self) -> str:
        """Everything that has arrived so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                piece = os.read(self._descriptor, 65_536)
                if not piece:
                    break
                self._read += piece
        return self._read.decode()


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], Reader]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as kept, os.fdopen(writing, "wb") as output:
        with contextlib.suppress(OSError):
            fcntl.fcntl(writing, F_SETPIPE_SZ, PAGE)  # so that a few lines fill it
        yield output, Reader(kept.fileno())


@contextlib.contextmanager
def _socket() -> Iterator[tuple[IO[bytes], Reader]]:
    """A socket like that of a service manager's journal."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE)
        with theirs.makefile("wb") as output:
            yield output, Reader(ours.fileno())


@pytest.mark.parametrize("channel", [_pipe, _socket], ids=["pipe", "socket"])
def test_a_log_without_a_reader_stops_nothing_and_its_gap_is_reported(scene: Scene, channel: Callable[[], Any]) -> None:
    with channel() as (output, reader):
        pool = scene.pool("--log-format=json", output=output, ready=False)
        _works(scene, pool)
        _replaces_a_worker(scene, pool)

        reader.read()
        scene.publish(*[{"do": "raise", "times": 1}] * 5)  # causes log lines, now that the pipe is read
        eventually(lambda: DROPPED in reader.read(), PATIENCE_S, lambda: reader.read()[-2000:])
        scene.settle(extra_runs=_published(scene) + 1)
        _drains(pool)

        entries = [json.loads(line) for line in reader.read().splitlines()]  # and none is torn
        gaps = [entry for entry in entries if entry["event"] == DROPPED]
        assert gaps
        assert all(gap["lines"] > 0 and gap["why"] == "nobody reads them" for gap in gaps)


def test_a_pool_drains_though_its_log_is_never_read(scene: Scene) -> None:
    with _pipe() as (output, _):
        pool = scene.pool(handler=HANDLER, output=output, ready=False)
        gate = scene.gate()
        message = scene.publish_one(gate.body("raise", "ok"))
        scene.ledger.wait_started(message, timeout_s=PATIENCE_S)
        _fill(output)

        pool.signal(signal.SIGTERM)
        gate.open()

        assert pool.wait(PATIENCE_S) == 0
        pool.assert_no_process_left()
    assert scene.totals()["retried"] == 1
    assert not scene.registered()


def test_a_pool_that_cannot_start_exits_also_if_it_cannot_log(scene: Scene) -> None:
    with _pipe() as (output, _):
        _fill(output)
        pool = scene.pool(handler="tests.is_missing:handler", output=output, ready=False)

        assert pool.wait(PATIENCE_S) == 3
        pool.assert_no_process_left()


def test_a_log_whose_reader_has_gone_stops_nothing(scene: Scene) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as output:
        pool = scene.pool(output=output, ready=False)
        os.close(reading)
        _works(scene, pool)
        _replaces_a_worker(scene, pool)
        _drains(pool)


def test_a_log_on_a_device_that_is_always_full_stops_nothing(scene: Scene) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("ab") as output:
        pool = scene.pool(output=output, ready=False)
        _works(scene, pool)
        _replaces_a_worker(scene, pool)
        _drains(pool)


@pytest.mark.skipif(not can_mount(), reason="needs permission to mount a tmpfs")
def test_a_log_on_a_full_disk_stops_nothing_and_its_gap_is_reported_when_there_is_room(
    scene: Scene, tmp_path: Path
) -> None:
    with tmpfs(tmp_path / "disk", "64k") as disk, (disk.path / "log").open("ab") as output:
        disk.fill()
        pool = scene.pool(output=output, ready=False)
        _works(scene, pool)
        _replaces_a_worker(scene, pool)

        disk.free()
        scene.publish(*[{"do": "raise", "times": 1}] * 5)
        eventually(lambda: DROPPED in _log(disk), PATIENCE_S, lambda: _log(disk))
        scene.settle(extra_runs=_published(scene) + 1)
        _drains(pool)

        assert 'why="No space left on device"' in _log(disk)
        assert "pool ended" in _log(disk)


def _log(disk: Tmpfs) -> str:
    return (disk.path / "log").read_text(errors="replace")


def _works(scene: Scene, pool: Pool) -> None:
    """Check that messages are handled, retried and acked."""
    messages = scene.publish(*[{"do": "raise", "times": 1}] * 60)
    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=60)
    assert scene.totals() == {"published": 60, "retried": 60, "acked": 60}
    assert pool.exit_code is None


def _replaces_a_worker(scene: Scene, pool: Pool) -> None:
    """Kill a worker; the supervisor has its message requeued and starts another one."""
    before = set(scene.registered())
    message = scene.publish_one({"do": "kill_self", "times": 1})
    scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)
    eventually(lambda: len(scene.registered()) == 2 and set(scene.registered()) - before, PATIENCE_S)
    assert pool.exit_code is None


def _drains(pool: Pool) -> None:
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    pool.assert_no_process_left()


def _published(scene: Scene) -> int:
    return len(scene.ledger.published())


def _fill(output: IO[bytes]) -> None:
    """Fill a pipe. Its mode is shared with the pool, so another process fills it with a descriptor of its own."""
    path = f"/proc/self/fd/{output.fileno()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        for size in (PAGE, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(descriptor, b"." * size)
    finally:
        os.close(descriptor)
