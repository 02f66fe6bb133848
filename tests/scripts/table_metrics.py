"""The table of the scripts of the history. They change nothing that messages depend on."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq.broker.broker import Broker
from tests.scripts.containers import NO_QUEUE, Containers
from tests.scripts.moves import QUEUE, Move, held


def adding(number: int = 1) -> Callable[[Broker], Any]:
    """Add a report; what is returned of the reply has no time."""

    def call(broker: Broker) -> Any:
        gauges = broker.add_metrics(QUEUE, "s1", number, b"measured", b"{}")
        return None if gauges is None else (*tuple(gauges)[1:6], gauges.suspended)

    return call


BUSY = held("m1", waiting=("m2", "m3"), delayed=("m4",), stats={"published": 4})
ASIDE = held("m1", suspended=("m2", "m3"))
ROWS = [
    Move("add_metrics", "tells the lengths of a queue", BUSY, adding(), (2, 1, 4, 0, 0, 0), BUSY),
    Move("add_metrics", "tells what is put aside", ASIDE, adding(), (0, 0, 3, 0, 0, 2), ASIDE),
    Move("add_metrics", "no such queue", NO_QUEUE, adding(), None, NO_QUEUE),
    Move("roll_up_metrics", "from nothing", Containers(),
         lambda broker: broker.roll_up_metrics(QUEUE, b"", b"1", {b"s:1": b"x"}, [b"r:s1:1"]), True, Containers(),
         again=False),
    Move("roll_up_metrics", "not with another version", Containers(),
         lambda broker: broker.roll_up_metrics(QUEUE, b"7", b"8", {b"s:1": b"x"}, []), False, Containers()),
]  # fmt: skip
