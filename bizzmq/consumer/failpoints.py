"""Failpoints: the steps of the protocol at which a test can kill a worker, a janitor or a consumer.

`BIZZMQ_FAILPOINT=NAME:FILE` kills one process that reaches the step NAME: the one that manages to remove FILE. Without
that variable nothing here runs.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Callable

VARIABLE = "BIZZMQ_FAILPOINT"
NAMES = ("after-claim", "before-handler", "after-handler", "before-ack", "after-ack")
SCHEDULER_NAMES = ("before-fire", "after-fire")
REQUEST_NAMES = ("after-take",)


def armed() -> Callable[[str], None] | None:
    """The function to call at each step, with the name of the step; None if no failpoint is set."""
    setting = os.environ.get(VARIABLE, "")
    wanted, _, fuse = setting.partition(":")
    if wanted not in (*NAMES, *SCHEDULER_NAMES, *REQUEST_NAMES):
        return None

    def reach(name: str) -> None:
        if name != wanted:
            return
        try:
            Path(fuse).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return reach
