"""Captures what a worker writes to stdout and stderr, as the output of its messages."""

from __future__ import annotations

import logging
import os
from typing import Any

from bizzmq.consumer.handlers.handler import Handler
from bizzmq.context import Context
from bizzmq.utils.log_stream import LineHandler
from bizzmq.workers.ipc.captured_output import CapturedOutput
from bizzmq.workers.process import output


def redirect(captured: CapturedOutput) -> None:
    """From now on, stdout and stderr of this process and its children are the slot's files. The log stays in place."""
    output.flush()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.write_to(os.dup(2))
    for number, descriptor in zip((1, 2), captured.of_streams):
        os.dup2(descriptor, number)


def mark_messages(handler: Handler, captured: CapturedOutput) -> None:
    """Note with each message of a handler where its output begins and ends."""
    run = handler.run

    def marked(body: Any, context: Context) -> BaseException | None:
        output.flush()  # what was printed before
        captured.begin(context.id, context.delivery)
        failure = run(body, context)
        output.flush()
        output.flush_c()
        return failure

    handler.run = marked  # type: ignore[method-assign]
