"""The cost of calling a task in a worker, beside the cost of calling a plain handler: microseconds in this process."""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, Mapping

from bench.fair import stats
from bench.goals import AT_MOST, Goal
from bizzmq import App, QueueOptions
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.context import Context
from bizzmq.message import MessageOptions
from bizzmq.protocol.attempts import NO_ATTEMPTS
from bizzmq.protocol.envelope import decode_envelope, encode_body, encode_header

CALLS = 2000
"""The calls of one round."""
ID, QUEUE, BODY = "0" * 20, "bench", {"n": 1, "us": 0}

app = App("redis://localhost:6379", queue=QUEUE)


@app.task(name="handler")
def task(n: int, us: int) -> None:
    """Do nothing, with two annotated arguments."""


def plain(body: Any) -> None:
    """Do nothing."""


def measure(rounds: int) -> dict[str, list[float]]:
    """Microseconds of each step in each round, by its name; the steps alternate.

    The steps of a message are those of a worker's loop: decode the envelope, work out the policy (tasks only), and
    call the handler.
    """
    found: dict[str, list[float]] = {name: [] for name in _steps()}
    for _ in range(rounds):
        for name, step in _steps().items():
            begin_s = time.thread_time()
            for _call in range(CALLS):
                step()
            found[name].append(1e6 * (time.thread_time() - begin_s) / CALLS)
    return found


def _steps() -> Mapping[str, Callable[[], Any]]:
    body, options = encode_body(BODY), QueueOptions()
    plain_one, task_one = encode_header(MessageOptions()) + body, encode_header(MessageOptions(), task.name) + body
    by_plain, by_task = Handler(plain), Handler(app.dispatcher())
    message = decode_envelope(ID, QUEUE, task_one)
    context = Context(message, NO_ATTEMPTS, 0.0, None, lambda: None)  # type: ignore[arg-type]  # nothing asks it
    properties = message.properties
    assert properties is not None
    return {
        "decode, plain": lambda: decode_envelope(ID, QUEUE, plain_one),
        "decode, task": lambda: decode_envelope(ID, QUEUE, task_one),
        "policy, task": lambda: by_task.policy_of(properties, options, is_implicit=False),
        "call, plain": lambda: by_plain.run(BODY, context),
        "call, task": lambda: by_task.run(BODY, context),
    }


def goals(result: Mapping[str, list[float]]) -> list[Goal]:
    """The dispatch is what a call costs more for a task than for a plain handler."""
    extra_us = [task_us - plain_us for task_us, plain_us in zip(result["call, task"], result["call, plain"])]
    others = [
        task_us + policy_us - plain_us
        for task_us, policy_us, plain_us in zip(result["decode, task"], result["policy, task"], result["decode, plain"])
    ]
    plain_us, task_us = statistics.median(result["call, plain"]), statistics.median(result["call, task"])
    note = f"a call: {plain_us:.2f} us, of a task {task_us:.2f}; header and policy: {statistics.median(others):.2f}"
    return [Goal("tasks: dispatch, us", AT_MOST, 2, stats.of(extra_us), note)]
