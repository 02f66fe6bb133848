"""The publisher of an arm: reads orders, one line of JSON each, and answers with the time that each took.

    {"do": "bulk", "first": 0, "count": 100, "us": 0}     many at once, with the library's own bulk call if it has one
    {"do": "single", ...}                                 one call after the other
    {"do": "paced", ..., "at": [0.0, 0.1, ...]}           one call each at these seconds from now
    {"do": "call", ...}                                   publish and wait for the result, one after the other

An adapter provides the functions bulk(range, work_us) and single(n, work_us), and call(n, work_us) if it can keep
results, which returns the result; either all plain or all async.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from typing import Any, Callable, NamedTuple

import tally

LEAD_S = 0.02
SPIN_S = 0.0005


class Calls(NamedTuple):
    """The functions of an adapter."""

    bulk: Callable[..., Any]
    single: Callable[..., Any]
    call: Callable[..., Any] | None = None


async def _finish(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _until(due_s: float) -> None:
    """Sleep for most of the time, then spin."""
    while True:
        left_s = due_s - time.monotonic()
        if left_s <= 0:
            return
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)


async def _bulk(order: dict[str, Any], calls: Calls) -> dict[str, Any]:
    begin_s = time.perf_counter()
    await _finish(calls.bulk(range(order["first"], order["first"] + order["count"]), order["us"]))
    return {"seconds": time.perf_counter() - begin_s}


async def _singles(order: dict[str, Any], calls: Calls) -> dict[str, Any]:
    single = calls.single
    begin_s = time.perf_counter()
    for n in range(order["first"], order["first"] + order["count"]):
        result = single(n, order["us"])
        if result is not None and inspect.isawaitable(result):
            await result
    return {"seconds": time.perf_counter() - begin_s}


async def _paced(order: dict[str, Any], calls: Calls) -> dict[str, Any]:
    sent_s, begin_s = [], time.monotonic() + LEAD_S
    for n, at_s in enumerate(order["at"], start=order["first"]):
        _until(begin_s + at_s)
        sent_s.append(time.monotonic())
        await _finish(calls.single(n, order["us"]))
    return {"begin_s": begin_s, "sent_s": sent_s}


async def _called(order: dict[str, Any], calls: Calls) -> dict[str, Any]:
    assert calls.call is not None
    took_s = []
    for n in range(order["first"], order["first"] + order["count"]):
        begin_s = time.perf_counter()
        result = await _finish(calls.call(n, order["us"]))
        took_s.append(time.perf_counter() - begin_s)
        if result != tally.RESULT:
            raise SystemExit(f"the result of {n} is wrong: {result!r}")
    return {"took_s": took_s}


ORDERS = {"bulk": _bulk, "single": _singles, "paced": _paced, "call": _called}


async def _serve(calls: Calls) -> None:
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = await ORDERS[order["do"]](order, calls)
        print(json.dumps(answer), flush=True)


def serve(*calls: Callable[..., Any]) -> None:
    """Serve until standard input ends; for a library without async. Takes the fields of `Calls`."""
    asyncio.run(_serve(Calls(*calls)))


async def serve_async(*calls: Callable[..., Any]) -> None:
    """The same in a running event loop."""
    await _serve(Calls(*calls))


async def in_chunks(calls: Callable[[int], Any], numbers: range, size: int = 100) -> None:
    """Bulk publish for a library without a bulk call: at most `size` calls run at once."""
    for start in range(0, len(numbers), size):
        await asyncio.gather(*(calls(n) for n in numbers[start : start + size]))
