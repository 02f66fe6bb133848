"""Load in the background while a fault is active."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable, Iterator

from bizzmq import BizzMQ
from tests.faults.scene import QUEUE, Scene

PAUSE_S = 0.01
_STOP_TIMEOUT_S = 30.0


@contextlib.contextmanager
def load(scene: Scene, *bodies: Any, mq: BizzMQ | None = None) -> Iterator[None]:
    """Publish these bodies repeatedly, as one batch, during the block; each batch is recorded in the ledger.

    Every publish must succeed. `mq` publishes instead of the scene's own publisher.
    """
    publisher = mq or scene.mq

    def publish() -> None:
        scene.ledger.record_published(*publisher.publish_messages_to_queue(QUEUE, bodies))

    with repeated(publish):
        yield


@contextlib.contextmanager
def repeated(action: Callable[[], object], pause_s: float = PAUSE_S) -> Iterator[None]:
    """Call a function repeatedly in the background during the block; its error is raised after the block."""
    over = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not over.wait(pause_s):
                action()
        except BaseException as error:  # noqa: BLE001 - it is the test's, and raised below
            errors.append(error)

    thread = threading.Thread(target=run, name="repeated", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_STOP_TIMEOUT_S)
    assert not thread.is_alive(), "the action hangs"
    if errors:
        raise errors[0]
