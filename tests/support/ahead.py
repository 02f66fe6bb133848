"""A request of a publisher that is sent before the reply to another one is there, without that other one."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.broker import Broker


def publish_behind(
    broker: Broker,
    queue: str,
    publisher: str,
    numbers: Any,
    entries: Sequence[Any],
    delay_ms: int = 0,
    priority: int = 0,
) -> bool:
    """Whether Redis has executed it. `numbers` are its own, and that of the request which must have been executed."""
    command = broker.called("publish", broker._publish_keys(queue, publisher))
    return int(broker.connection.execute(*command, *numbers, delay_ms, priority, *entries)) >= 0
