"""What a thread does while a test goes on."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator


@contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[None]:
    """A thread does this while the block runs; the end of the block waits for it."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()
