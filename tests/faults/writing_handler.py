"""A handler that writes in several ways and then does what its message says: for pools, as HANDLER."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from bizzmq import Context

HANDLER = "tests.faults.writing_handler:handler"
_logger = logging.getLogger("shop.orders")


def handler(body: Any, context: Context) -> None:
    """`lines` are logged, `prints` and `count` numbers with `size` letters are printed, `child` is printed by a child.

    `end` is a kill, an error, or a sleep that only SIGKILL ends.
    """
    for line in body.get("lines", ()):
        context.log("%s", line)
    if "warn" in body:
        _logger.warning("warned of %s", body["warn"])
    for line in body.get("prints", ()):
        print(line)  # noqa: T201 - this is what is tested
    for number in range(body.get("count", 0)):
        print(number, "x" * body["size"])  # noqa: T201 - as above
    if "child" in body:
        subprocess.run([sys.executable, "-c", f"import os; os.write(2, b{body['child'] + chr(10)!r})"], check=True)
    if body.get("end") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if body.get("end") == "stuck":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(600)
    if body.get("end") == "error":
        raise ValueError(body)
    time.sleep(body.get("sleep", 0))
