"""Notifications to systemd: a real datagram socket takes the place of the service manager's."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control.systemd import Notifier, ServiceState
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]


class Manager:
    """Listens like systemd.

    Attributes:
        lines: all received lines, one assignment each.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def listen(self) -> list[str]:
        while True:
            try:
                self.lines += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.lines

    def hears(self, line: str, times: int = 1) -> None:
        eventually(lambda: self.listen().count(line) >= times, 20.0, lambda: f"{line} x {times} in {self.lines}")

    def hears_status(self, pattern: str) -> None:
        found = re.compile("STATUS=.*" + pattern)
        eventually(lambda: any(map(found.match, self.listen())), 20.0, lambda: f"{pattern} in {self.lines}")

    def states(self) -> list[str]:
        """The received states, without status, watchdog and times."""
        return [line for line in self.listen() if line.split("=")[0] in ("READY", "RELOADING", "STOPPING")]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: Any, runtime: Path) -> Iterator[Manager]:
    manager = Manager(str(runtime / "notify") if request.param == "path" else f"@bizzmq-test-{uuid.uuid4().hex}")
    yield manager
    manager.close()


def start(start_pool: StartPool, url: str, manager: Manager, **options: Any) -> Pool:
    env = {"NOTIFY_SOCKET": manager.address, **options.pop("env", {})}
    return start_pool(url, env=env, **options)


def test_ready_when_the_first_worker_works_and_stopping_when_the_pool_drains(
    start_pool: StartPool, url: str, manager: Manager
) -> None:
    pool = start(start_pool, url, manager)

    manager.hears("READY=1")
    manager.hears_status("working, 2 of 2 workers$")
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0

    assert manager.states() == ["READY=1", "STOPPING=1"]


def test_not_ready_before_a_worker_works(start_pool: StartPool, url: str, manager: Manager, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "slow_tasks.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
        "def handler(body): pass\n"
    )
    start(start_pool, url, manager, handler="slow_tasks:handler", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"})

    manager.hears_status("working, 0 of 2 workers")
    assert manager.states() == []
    gate.touch()
    manager.hears("READY=1")


def test_a_pool_that_cannot_start_was_never_ready(start_pool: StartPool, url: str, manager: Manager) -> None:
    pool = start(start_pool, url, manager, handler="tests.no_such_module:handler")

    assert pool.wait() == 3
    assert manager.states() == ["STOPPING=1"]


def test_start_and_end_of_a_reload_are_sent(start_pool: StartPool, url: str, manager: Manager) -> None:
    pool = start(start_pool, url, manager)
    manager.hears("READY=1")

    pool.signal(signal.SIGHUP)
    manager.hears("READY=1", times=2)

    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1"]
    (stamp,) = [line for line in manager.lines if line.startswith("MONOTONIC_USEC=")]
    assert manager.lines[manager.lines.index(stamp) - 1] == "RELOADING=1", "in one datagram, as notify-reload requires"
    assert int(stamp.split("=")[1]) > 0


def test_a_failed_reload_ends_with_the_reason(
    start_pool: StartPool, url: str, manager: Manager, tmp_path: Path
) -> None:
    module = tmp_path / "tasks_that_break.py"
    module.write_text("def handler(body): pass\n")
    pool = start(start_pool, url, manager, handler="tasks_that_break:handler", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    manager.hears("READY=1")
    module.write_text("raise RuntimeError('not\\ntoday')\n")

    pool.signal(signal.SIGHUP)

    manager.hears("READY=1", times=2)
    manager.hears_status(r"the last reload failed: .*not\\ntoday")
    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1"]


def test_the_watchdog_is_notified_only_while_the_loop_runs(start_pool: StartPool, url: str, manager: Manager) -> None:
    pool = start(start_pool, url, manager, env={"WATCHDOG_USEC": "200000"})
    manager.hears("WATCHDOG=1", times=10)

    pool.signal(signal.SIGSTOP)
    eventually(
        lambda: "stopped" in [process.status() for process in pool.living() if process.pid == pool.supervisor_pid]
    )
    manager.listen()
    heard = len(manager.lines)
    # The absence of a message can only be shown by waiting for longer than it would take: three periods.
    with pytest.raises(AssertionError):
        eventually(lambda: len(manager.listen()) > heard, 0.6)

    pool.signal(signal.SIGCONT)
    manager.hears("WATCHDOG=1", times=20)


def test_processes_of_handlers_cannot_notify_for_the_pool(
    start_pool: StartPool, url: str, manager: Manager, tmp_path: Path
) -> None:
    (tmp_path / "telling.py").write_text(
        "import os, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(' '.join(sorted(os.environ)))\n"
        "def handler(body): pass\n"
    )
    start(
        start_pool, url, manager, handler="telling:handler",
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"},
    )  # fmt: skip
    manager.hears("READY=1")

    seen = (tmp_path / "seen").read_text().split()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(seen)
    assert "WATCHDOG=1" not in manager.lines, "it was meant for another process"


def test_a_missing_manager_causes_no_error(start_pool: StartPool, url: str, runtime: Path) -> None:
    pool = start_pool(url, env={"NOTIFY_SOCKET": str(runtime / "nobody"), "WATCHDOG_USEC": "100000"})
    pool.wait_ready()

    pool.signal(signal.SIGTERM)

    assert pool.wait() == 0
    assert "Traceback" not in pool.log()


def test_an_unknown_kind_of_address_is_logged_once(start_pool: StartPool, url: str) -> None:
    pool = start_pool(url, env={"NOTIFY_SOCKET": "vsock:2:1234"})
    pool.wait_ready()

    assert pool.log().count("is of a kind that is not supported") == 1


# --- one notifier ------------------------------------------------------------------------------------------------


@pytest.fixture
def full(runtime: Path) -> Iterator[tuple[Manager, Notifier]]:
    """A notifier with a full manager socket."""
    manager = Manager(str(runtime / "notify"))
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while filler.sendto(b"FILLER=1", manager.address):
            pass
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2"}, iter(range(10_000)).__next__)
    yield manager, notifier
    notifier.close()
    filler.close()
    manager.close()


def facts(text: str = "", **changes: Any) -> ServiceState:
    return ServiceState(
        **{"ready": False, "reloads": 0, "reloading": False, "stopping": False, "text": text, **changes}
    )


def test_a_message_refused_by_a_full_socket_is_sent_later_and_only_the_newest_of_a_kind(
    full: tuple[Manager, Notifier],
) -> None:
    manager, notifier = full
    for number in range(100):
        notifier.tick(facts(f"status {number}", ready=number > 50))
    manager.listen()
    manager.lines.clear()

    notifier.tick(facts("status 99", ready=True))

    assert sorted(manager.listen()) == ["READY=1", "STATUS=status 99", "WATCHDOG=1"]


def test_a_reload_that_ends_at_once_is_sent_too(runtime: Path) -> None:
    manager = Manager(str(runtime / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    notifier.tick(facts(ready=True))

    notifier.tick(facts(ready=True, reloads=1, reloading=False))

    notifier.close()
    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    manager.close()


def test_without_a_manager_nothing_is_opened() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000"})
    notifier.tick(facts(ready=True))

    assert notifier.descriptors() == []
    assert notifier.next_due_s() == float("inf")
