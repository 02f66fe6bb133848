"""Replies of scripts are those of their headers, even where the broker only checks for zero."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.workers import DeadWorker
from bizzmq.connection.base import Connection
from bizzmq.errors import BrokerReplyError, LeaseLostError
from tests.scripts.containers import Containers, envelope, everything, put
from tests.scripts.moves import QUEUE, Move, held
from tests.scripts.test_moves import MOVES, given

MANY = tuple(f"f{number:03}" for number in range(BATCH_LIMIT + 1))
DONE: Dict[str, Callable[[Any], bool]] = {
    "create": lambda reply: reply in (0, 1),
    "locate": lambda reply: reply[0] == 1,
    "delete_message": lambda reply: reply in (-1, 0, 1),
    "promote": lambda reply: reply in (0, 1),
    "pause_schedule": lambda reply: reply in (0, 1),
    "put_schedule": lambda reply: reply in (-1, 0, 1),
    "record": lambda reply: reply in (0, 1),
    "register": lambda reply: reply == 1,
    "remove_schedule": lambda reply: reply in (-1, 0, 1),
    "replay": lambda reply: reply in (-2, -1, 0, 1),
    "resume_schedule": lambda reply: reply in (0, 1, 2),
    "write_off": lambda reply: reply in (0, 1),
}


class RecordingConnection(Connection):
    """Records the reply of the last script."""

    reply: Any = None

    def execute_plain(self, args: tuple[str | bytes, ...]) -> Any:
        reply = super().execute_plain(args)
        if args[0] in ("EVAL", "EVALSHA"):
            self.reply = reply
        return reply


@pytest.mark.parametrize("move", [move for move in MOVES if move.script in DONE], ids=str)
def test_the_reply_is_in_the_header(url: str, redis: Redis, move: Move) -> None:
    connection = RecordingConnection(url)
    given(redis, move)

    move.call(Broker(connection))

    connection.drop()
    assert DONE[move.script](connection.reply)


@pytest.mark.parametrize(("worker", "running", "reply"), [("w1", "m1", 1), ("w1", "m2", 0), ("w2", "m1", -1)])
def test_a_release_of_prefetched_messages_returns_how_many_or_why_none(
    url: str, redis: Redis, worker: str, running: str, reply: int
) -> None:
    connection = RecordingConnection(url)
    put(redis, QUEUE, held("m1", "m2"))

    Broker(connection).release_prefetched(QUEUE, worker, running, 1)

    connection.drop()
    assert connection.reply == reply


@pytest.mark.parametrize(
    ("worker", "counter", "reply"), [("w1", "7", [1, 1, 0, b"", 0]), ("w2", "7", [-1]), ("w1", "6", [-2])]
)
def test_a_refused_requeue_returns_the_reason(
    url: str, redis: Redis, worker: str, counter: str, reply: list[Any]
) -> None:
    connection = RecordingConnection(url)
    put(redis, QUEUE, held("m1"))

    Broker(connection).requeue(QUEUE, worker, DeadWorker("silent", supervisor="s1", counter=counter))

    connection.drop()
    assert connection.reply == reply


@pytest.mark.parametrize(
    ("before", "worker", "finished", "reply"),
    [
        (held(), "w1", [], [0, -1]),
        (held("m1"), "w1", ["m1"], [0, -1]),
        (held(due=MANY, forged=MANY), "w1", [], [0, 0]),  # more messages are due, and may have an envelope
        (held(), "w2", [], [-1]),
        (held("m1"), "w1", [], [1, [b"m1"], [envelope("m1")], []]),
    ],
    ids=["nothing", "all is acked", "nothing but forgeries", "not registered", "something"],
)
def test_a_claim_returns_its_status(
    url: str, redis: Redis, before: Containers, worker: str, finished: list[str], reply: list[Any]
) -> None:
    connection = RecordingConnection(url)
    put(redis, QUEUE, before)

    with suppress(LeaseLostError):
        Broker(connection).claim(QUEUE, worker, BATCH_LIMIT, finished)

    connection.drop()
    assert connection.reply == reply


def test_a_worker_that_registers_meanwhile_is_noticed(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1"))
    before = everything(redis)

    with pytest.raises(BrokerReplyError, match="a worker has registered"):
        broker.delete_queue(QUEUE, [], "all", b"")

    assert everything(redis) == before
