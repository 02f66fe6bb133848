"""The options of a consumer's loop, and the reasons why it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from bizzmq.consumer.prefetch import DEFAULT_LIMIT


class ExitReason(Enum):
    """Why a loop has ended."""

    DRAINED = "drained"
    BURST = "nothing left to do"
    LEASE_LOST = "lease lost"


@dataclass(frozen=True)
class ConsumerOptions:
    """How a loop behaves.

    Args:
        prefetch: most messages that are held at once, 1 to 100.
        block_s: longest wait for a wake-up, seconds; an idle worker sends two commands in this time.
        max_messages: most messages to run, or 0 for no limit.
        replace_after: the number of messages after which a replacement is requested. It is below `max_messages` and
            differs between loops, so that they do not all end at once and can go on until the replacement is there.
        timeout_s: time limit of a message that has none of its own, or 0.
        burst: end when the queues hold nothing to do.
        burst_patience_s: how long a burst waits for a queue that is set aside, seconds.
        patience_s: how long a stopping loop waits for Redis before it leaves the rest to its lease, seconds.
    """

    prefetch: int = DEFAULT_LIMIT
    block_s: float = 5.0
    max_messages: int = 0
    replace_after: int = 0
    timeout_s: float = 0.0
    burst: bool = False
    burst_patience_s: float = math.inf
    patience_s: float = 5.0
