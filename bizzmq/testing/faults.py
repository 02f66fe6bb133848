"""The fault kit: real faults for your own handlers, and a ledger of what was published and what ran.

    with RedisServer(persistence="aof") as server, Proxy(server.url) as network:
        ...

What each part is for:

- `RedisServer`, `Pool`: a server and a pool of workers that the test owns and may kill, stop and restart.
- `Proxy`: a network that stalls, cuts, and loses the reply to a request that was executed.
- `Ledger`, `record`: what was published and what ran, in files outside Redis; `recorded`: your own handler, with each
  run written to a ledger. `Family`: every process of a command, found and ended even if it is detached.
- `check_*`: the invariants. Each reads Redis without the library and raises AssertionError with the ids.
- `eventually`, `eventually_holds`: wait for a condition, never for time.

Everything starts real processes. On Linux they end with the test process.
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
