"""Places where a test can have a worker killed: the protocol steps of the fault matrix.

`BIZZMQ_FAILPOINT=NAME:FILE` kills the process that reaches the step NAME, once: whoever manages to
remove FILE dies. Without that variable nothing here runs.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Callable

VARIABLE = "BIZZMQ_FAILPOINT"
NAMES = ("after-claim", "before-handler", "after-handler", "before-ack", "after-ack")


def armed() -> Callable[[str], None] | None:
    """The function to call with the name of each step reached, or None if no failpoint is set."""
    setting = os.environ.get(VARIABLE, "")
    wanted, _, fuse = setting.partition(":")
    if wanted not in NAMES:
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
