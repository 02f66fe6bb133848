"""A handler module whose import never ends."""

from __future__ import annotations

import threading
from typing import Any

threading.Event().wait()


def handler(body: Any) -> None:
    raise AssertionError("this line is never reached")
