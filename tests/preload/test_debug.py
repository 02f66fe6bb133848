"""`bizzmq-worker --debug`: one worker in the foreground, whose handler can use the terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import Iterator

import pytest

from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import WORKER, refused
from tests.preload.test_pools import Home, home
from tests.support.paths import ROOT

__all__ = ["home"]


class Foreground:
    """The command on a terminal of its own."""

    def __init__(self, home: Home, *args: str) -> None:
        self._own, other = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(ROOT), "BIZZMQ_REDIS_URL": home.url, "TERM": "dumb"}
        command = [sys.executable, "-m", WORKER, "--debug", "-q", "q", *args, "app:handler"]
        self.process = subprocess.Popen(
            command, cwd=home.folder, env=env, stdin=other, stdout=other, stderr=other, start_new_session=True
        )
        os.close(other)
        self.screen = ""

    def sees(self, text: str) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while text not in self.screen:
            assert time.monotonic() < give_up_s, self.screen
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self._own, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    assert text in self.screen, self.screen

    def types(self, text: str) -> None:
        os.write(self._own, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def foreground(home: Home) -> Iterator[Foreground]:
    home.write("def handler(body):\n    answer = body * 2\n    breakpoint()\n    say('done', answer)\n")
    home.mq.publish_message_to_queue("q", 21)
    started = Foreground(home, "--burst", "--timeout=0.2")
    yield started
    started.close()


def test_a_breakpoint_has_a_prompt_and_no_limit(home: Home, foreground: Foreground) -> None:
    foreground.sees("(Pdb)")
    foreground.types("p 'it is', answer\n")
    foreground.sees("('it is', 42)")
    foreground.types("c\n")

    assert foreground.process.wait(PATIENCE_S) == 0

    assert home.lines() == ["done 42"]
    assert home.mq.stats("q").acked == 1


def test_quitting_the_debugger_releases_the_message_and_ends_the_worker(home: Home, foreground: Foreground) -> None:
    foreground.sees("(Pdb)")
    foreground.types("q\n")

    assert foreground.process.wait(PATIENCE_S) == 0

    counts = home.mq.stats("q")
    assert (counts.waiting, counts.acked, counts.dead_lettered) == (1, 0, 0)


def test_on_request_it_exits_after_the_running_message(home: Home) -> None:
    gate = home.folder / "gate"
    home.write(
        f"import bizzmq, os, time\ndef handler(body):\n    say('begun')\n"
        f"    while not os.path.exists({str(gate)!r}):\n        time.sleep(0.01)\n    say('done')\n"
        "bizzmq.on_worker_boot(lambda: say('boot'))\nbizzmq.on_worker_shutdown(lambda: say('shutdown'))\n"
    )
    home.mq.publish_messages_to_queue("q", [1, 2, 3])
    started = Foreground(home)
    try:
        eventually(lambda: "begun" in home.lines(), PATIENCE_S)
        started.process.send_signal(signal.SIGTERM)
        started.sees("leaving after the running message")
        gate.touch()
        assert started.process.wait(PATIENCE_S) == 0
    finally:
        started.close()

    assert home.lines() == ["boot", "begun", "done", "shutdown"]
    counts = home.mq.stats("q")
    assert (counts.acked, counts.waiting, counts.processing) == (1, 2, 0)


def test_it_works_on_one_queue(url: str) -> None:
    line = refused(WORKER, "--debug", "-q", "a", "-q", "b", "tests.handlers:noop", BIZZMQ_REDIS_URL=url)
    assert "--debug works on one queue" in line
