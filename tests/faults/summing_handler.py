"""A handler that adds numbers up in steps, and kills its worker on the way: for pools, as HANDLER."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

from bizzmq import Context

HANDLER = "tests.faults.summing_handler:handler"


def handler(body: Any, context: Context) -> int:
    """Add up `count` numbers in steps of `every`. The first `kills` deliveries end in a SIGKILL at a random number.

    Each step that begins is a line of the file `log`.
    """
    every = body["every"]
    loop = context.resume(range(body["count"]), every=every, state=0)
    rng = random.Random(f"{body['seed']} {context.delivery}")
    if "large" in body:
        context.checkpoint("x" * body["large"])
    left = rng.randrange(1, 3 * every) if context.delivery <= body["kills"] else -1
    with Path(body["log"]).open("a", buffering=1) as log:
        for number in loop:
            if number % every == 0:
                log.write(f"{number}\n")
                context.progress(number, body["count"])
            loop.state += number
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return int(loop.state)
