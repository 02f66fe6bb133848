"""The app of the pool in test_questions.py."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from bizzmq import App

app = App(queue="q")


@app.task(name="report")
def report(seconds: float) -> None:
    """Use the processor for this time."""
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


@app.task(name="hang")
def hang(gate: str) -> None:
    while not Path(gate).exists():
        time.sleep(0.05)


@app.task(name="bad", max_retries=0)
def bad() -> None:
    raise LookupError("no such customer")


@app.task(name="deadly", max_retries=0)
def deadly() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
