"""The envelope of each message of the state machines: its id tells its options."""

from __future__ import annotations

from tests.model.pauses import properties
from tests.scripts.containers import envelope


def keeps(message_id: str) -> bool:
    """Whether a message of the state machine keeps its result. Those of the exploration keep none."""
    return len(message_id) > 3 and message_id.endswith(("a", "c"))


def enveloped(message_id: str) -> bytes:
    task, key = properties(message_id)
    return envelope(message_id, keeps_result=keeps(message_id), task=task, key=key)
