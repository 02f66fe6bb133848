"""The soak's handler: some milliseconds of sleep and arithmetic; some messages fail once, a few always."""

from __future__ import annotations

import time
from typing import Any

from bizzmq import Context

FAILS_ONCE, FAILS = "once", "always"
BODIES = [
    {"ms": (3, 5, 5, 8, 20)[number % 5], "fails": {50: FAILS_ONCE, 250: FAILS}.get(number, "")} for number in range(500)
]
"""The bodies to publish, in turn."""


class Planned(Exception):  # noqa: N818 - the body wants it
    """A requested failure."""


def handler(body: dict[str, Any], context: Context) -> None:
    time.sleep(body["ms"] / 1000)
    sum(range(5000))
    if body["fails"] == FAILS or (body["fails"] == FAILS_ONCE and context.retry_count == 0):
        raise Planned
