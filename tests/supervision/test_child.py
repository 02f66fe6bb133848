"""How the supervisor starts a child, reads it and ends it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.reloader_messages import FROM_RELOADER, TO_RELOADER, FilesChanged
from bizzmq.workers.process import child, fork
from bizzmq.workers.process.child import ChildProcess, RestartDelay

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def name_of(descriptor: int) -> str:
    """The file that a descriptor refers to, such as `socket:[1234]`; "" if it is not open."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def echo(channel: Channel) -> int:
    """Report the open descriptors of the child, then exit when the channel closes."""
    fork.unblock_signals()
    channel.send(FilesChanged([name_of(number) for number in range(100)]))
    while not channel.closed:
        channel.receive(TO_RELOADER)
    return 3


def test_a_child_is_read_and_reaped_and_its_last_messages_can_still_be_read() -> None:
    process = ChildProcess(echo, list)
    process.fork()
    assert process.channel is not None
    process.channel.flush()
    eventually(lambda: process.read(FROM_RELOADER), 30)

    process.close()
    ended = []
    eventually(lambda: ended.append(process.reap()) or ended[-1], 30)  # type: ignore[func-returns-value]

    assert (ended[-1].code, process.pid, process.channel) == (3, 0, None)
    assert process.reap() is None


def test_a_child_has_neither_the_other_end_nor_descriptors_to_close(tmp_path: Path) -> None:
    kept = os.open(tmp_path, os.O_RDONLY)
    process = ChildProcess(echo, lambda: [kept])
    process.fork()
    assert process.channel is not None
    found: list[str] = []

    eventually(lambda: found.extend(name for m in process.read(FROM_RELOADER) for name in m.files) or found, 30)

    assert not {name_of(kept), name_of(process.channel.fileno())} & {*found}
    process.kill()
    os.close(kept)


def test_a_child_that_is_killed_leaves_no_process_and_no_descriptor() -> None:
    before = open_descriptors()
    process = ChildProcess(echo, list)
    process.fork()
    pid = process.pid

    process.kill()

    assert open_descriptors() <= before  # what earlier tests have dropped may be closed meanwhile
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_fork_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> int:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(child.fork, "fork", fails)
    before = open_descriptors()
    process = ChildProcess(echo, list)

    with pytest.raises(OSError, match="no more processes"):
        process.fork()

    assert (process.pid, process.channel, open_descriptors()) == (0, None, before)


def test_each_failure_doubles_the_wait_up_to_the_longest_and_a_reset_forgets_them() -> None:
    delay = RestartDelay(0.05, 0.3)

    waits = [delay.failed() for _ in range(5)]
    delay.reset()

    assert waits == [0.05, 0.1, 0.2, 0.3, 0.3]
    assert delay.failed() == 0.05
