"""Rows of `record`: it moves no message. What it keeps is in test_record.py."""

from __future__ import annotations

from bizzmq.broker.broker import Broker
from tests.scripts.moves import QUEUE, Call, Move, held


def recording(message_id: str) -> Call:
    def call(broker: Broker) -> bool:
        return broker.record(QUEUE, "w1", message_id, progress=b"[1,2,3]", checkpoint=b"{}", number=1)

    return call


ROWS = [
    Move("record", "leaves a held message where it is", held("m1", "m2"), recording("m1"), True, held("m1", "m2"),
         beside_after={"checkpoints": {"m1": "w1 1\n{}"}, "progress": {"m1": "[1,2,3]"}}),
    Move("record", "keeps nothing if there is nothing", held("m1"), lambda broker: broker.record(QUEUE, "w1", "m1"),
         True, held("m1")),
    Move("record", "keeps nothing of a message that another worker holds",
         held("m1", processing={"w1": ("m1",), "w2": ("m2",)}), recording("m2"), False,
         held("m1", processing={"w1": ("m1",), "w2": ("m2",)})),
    Move("record", "keeps nothing of a waiting message", held(waiting=("m1",)), recording("m1"), False,
         held(waiting=("m1",))),
    Move("record", "keeps nothing of an id without an envelope", held("m1", forged=("m1",)), recording("m1"), False,
         held("m1", forged=("m1",))),
]  # fmt: skip
