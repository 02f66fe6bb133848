"""A handler that publishes forever with one client and records each id that it receives."""

from __future__ import annotations

import os
from typing import Any, Optional

from bizzmq import BizzMQ, MessageOptions

OUT, CALM = "out", "calm"
"""The queue that it publishes to, and a queue that always holds the same three messages."""
NOTES_VARIABLE = "TEST_NOTES"
WRONG = "wrong reply"

_client: Optional[BizzMQ] = None


def handler(_body: Any) -> None:
    global _client  # noqa: PLW0603 - one client for all messages: a limit may leave it in a bad state for the next one
    if _client is None:
        _client = BizzMQ()
    notes = os.open(os.environ[NOTES_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        while True:
            ids = [_client.publish_message_to_queue(OUT, 1, MessageOptions(priority=1))]
            ids += _client.publish_messages_to_queue(OUT, range(30))
            os.write(notes, "".join(f"{one}\n" for one in ids).encode())
            if _client.stats(CALM).waiting != 3 or _client.create_queue(CALM):
                os.write(notes, f"{WRONG}\n".encode())
    finally:
        os.close(notes)
