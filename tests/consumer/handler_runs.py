"""Runs a handler once, as a worker does."""

from __future__ import annotations

from typing import Any

from bizzmq import Context, Message
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.protocol.attempts import Attempts
from bizzmq.worker_state import WorkerState

MESSAGE = Message("0123456789abcABCDEFG", "q", {"body": 1})


def context() -> Context:
    return Context(MESSAGE, Attempts(), 0.0, None, WorkerState())


def run(function: Any) -> BaseException | None:
    handler = Handler(function)
    try:
        return handler.run(MESSAGE.body, context())
    finally:
        handler.close()
