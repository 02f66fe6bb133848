"""A pipelined publish request: it is sent before the reply to the request before it, which is not sent here."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.message_calls import publish_call
from bizzmq.broker.script_runner import ScriptRunner


def publish_behind(
    broker: Broker,
    queue: str,
    publisher: str,
    numbers: Any,
    entries: Sequence[Any],
    delay_ms: int = 0,
    priority: int = 0,
) -> bool:
    """Whether Redis executed the request. `numbers` are its number and that of the request that must come before it."""
    call = publish_call(broker.keys(queue), publisher, *numbers, delay_ms, priority, entries)
    return int(ScriptRunner(broker.connection).run("publish", call)) >= 0
