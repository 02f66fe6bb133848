"""Releases of a worker: each has a number of its own and keeps it when it is sent again."""

from __future__ import annotations

import time
from typing import Any, List

import pytest

from bizzmq import BizzMQ
from bizzmq.broker.messages import Messages
from bizzmq.errors import BrokerUnavailableError
from bizzmq.testing.wait import eventually
from tests.support.recording_handler import RecordingHandler, at_rest


def test_a_release_keeps_its_number_when_it_is_sent_again(
    mq: BizzMQ, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: List[int] = []
    release = Messages.release

    def release_and_lose_every_other_reply(self: Messages, queue: str, worker: str, number: int, *args: Any) -> int:
        numbers.append(number)
        released = release(self, queue, worker, number, *args)
        if len(numbers) % 2:
            raise BrokerUnavailableError("the reply was lost")
        assert released == 0, "released twice"
        return released

    monkeypatch.setattr(Messages, "release", release_and_lose_every_other_reply)
    # Fast messages make it claim many at once; it releases those that it holds behind a slow one.
    seen = RecordingHandler(lambda body, _context: time.sleep(0.05) if body % 100 == 90 else None)
    mq.publish_messages_to_queue("q", list(range(300)))

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: at_rest(mq, "q") and mq.stats("q").acked == 300)
    assert seen.bodies == list(range(300))
    assert numbers, "nothing was released"
    assert numbers == [number for number in range(1, len(numbers) // 2 + 1) for _ in range(2)]
