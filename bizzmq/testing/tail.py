"""The message that a process is running now, read from the end of its ledger file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from bizzmq.testing.ledger import START

_LINE_BYTES = 4096
"""More than the length of a line."""


def message_under_way(directory: Path, pid: int) -> str:
    """The id of the message that this process is running according to its ledger file; "" if none."""
    try:
        with (directory / f"{pid}.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    try:
        last = json.loads(lines[-1]) if lines else {}
    except ValueError:  # the last line is being written
        return ""
    return str(last["id"]) if last.get("kind") == START else ""
