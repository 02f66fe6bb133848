"""The fault kit: real faults for your own handlers, and a ledger that tells what they cost.

    with RedisServer(persistence="aof") as server, Proxy(server.url) as network:
        ...

What each part is for:

- `RedisServer`, `Pool`: a server and a pool of workers that the test owns and may kill, stop and restart.
- `Proxy`: a network that stalls, cuts, and loses the reply to a request that was executed.
- `Ledger`, `record`: what was published and what ran, in files beside Redis; `recorded`: a handler of yours, whose runs
  stand in a ledger. `Family`: every process of a command, found and ended whatever it did to hide.
- `check_*`: the invariants. Each looks at Redis without the library, and raises AssertionError with the ids.
- `eventually`, `eventually_holds`: wait for a condition, never for time.

All of it starts real processes; a test process that dies takes them along (Linux).
"""

from __future__ import annotations

from bizzmq.testing.family import Family
from bizzmq.testing.invariants import (
    check_at_rest,
    check_balance,
    check_blame,
    check_duplicates,
    check_log,
    check_nobody_blamed,
    check_nothing_stranded,
    check_one_place,
    log_rate,
)
from bizzmq.testing.ledger import LEDGER_VARIABLE, Event, Ledger, Run, record, recorded
from bizzmq.testing.link import Fault
from bizzmq.testing.pool import Pool
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually, eventually_holds

__all__ = [
    "LEDGER_VARIABLE",
    "Event",
    "Family",
    "Fault",
    "Ledger",
    "Pool",
    "Proxy",
    "RedisServer",
    "Run",
    "check_at_rest",
    "check_balance",
    "check_blame",
    "check_duplicates",
    "check_log",
    "check_nobody_blamed",
    "check_nothing_stranded",
    "check_one_place",
    "eventually",
    "eventually_holds",
    "log_rate",
    "record",
    "recorded",
]
