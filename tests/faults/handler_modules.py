"""Working and broken handler modules, and checks of which one a pool runs."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from bizzmq.testing.ledger import Ledger
from tests.faults.scene import PATIENCE_S, Scene
from tests.supervision.pool_status import status_of

OK = """
from tests.handlers import ok
from bizzmq.testing.ledger import record

def handler(body, context):
    record("generation", context.id, number={number})
    ok(body, context)
"""
AT_A_WORKERS_FORK = """
import os

forks = 0

def count():
    global forks
    forks += 1
    if forks == {nth}:
        {action}

os.register_at_fork(after_in_child=count)
"""
AT_THE_FORK_AFTER_THE_TRIAL = """
import os

trials = 0

def count():
    global trials
    trials += 1

def end():
    if trials == 1:
        os._exit(3)

os.register_at_fork(after_in_parent=count, after_in_child=end)
"""
BROKEN = {
    "import error": "import no_such_thing.at_all\n",
    "syntax error": "def handler(:\n",
    "raises": "1 / 0\n",
    "no handler": "x = 1\n",
    "not callable": "handler = 42\n",
    "sys.exit": "import sys; sys.exit(0)\n",
    "os._exit(0)": "import os; os._exit(0)\n",
    "os._exit(3)": "import os; os._exit(3)\n",
    "abort": "import os; os.abort()\n",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n",
}
CANARY_DIES = {
    "canary is killed": AT_A_WORKERS_FORK.format(nth=2, action="os.kill(os.getpid(), 9)"),
    "canary exits with 0": AT_A_WORKERS_FORK.format(nth=2, action="os._exit(0)"),
    "canary is never born": AT_THE_FORK_AFTER_THE_TRIAL,
}


def generation_of(ledger: Ledger, message: str) -> int:
    (event,) = [event for event in ledger.events("generation") if event.id == message]
    return int(event.fields["number"])


def check_generation(scene: Scene, number: int) -> None:
    """Check that the pool works, and that all workers run this code."""
    messages = scene.publish(*[{}] * 20)
    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    assert {generation_of(scene.ledger, message) for message in messages} == {number}


def watch_capacity(control: Path, least: int) -> Callable[[], None]:
    """A check of the pool that fails when fewer than `least` workers take messages."""

    def look() -> None:
        status = status_of(control)
        assert status["working"] >= least, status["slots"]

    return look
