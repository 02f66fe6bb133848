"""The publisher's side of an arm: reads orders, a line of JSON each, and answers with what they took.

    {"do": "bulk", "first": 0, "count": 100, "us": 0}     many at once, with the library's own bulk call if it has one
    {"do": "single", ...}                                 one call after the other
    {"do": "paced", ..., "at": [0.0, 0.1, ...]}           one call each at these seconds from now

An adapter gives two functions, bulk(range, work_us) and single(n, work_us); either both plain or both async.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from typing import Any, Callable

LEAD_S = 0.02
SPIN_S = 0.0005


async def _finish(result: Any) -> None:
    if inspect.isawaitable(result):
        await result


def _until(due_s: float) -> None:
    """Sleep most of it, and turn round for the rest."""
    while True:
        left_s = due_s - time.monotonic()
        if left_s <= 0:
            return
        if left_s > SPIN_S:
            time.sleep(left_s - SPIN_S)


async def _bulk(order: dict[str, Any], bulk: Callable[..., Any], _single: Callable[..., Any]) -> dict[str, Any]:
    begin_s = time.perf_counter()
    await _finish(bulk(range(order["first"], order["first"] + order["count"]), order["us"]))
    return {"seconds": time.perf_counter() - begin_s}


async def _singles(order: dict[str, Any], _bulk: Callable[..., Any], single: Callable[..., Any]) -> dict[str, Any]:
    begin_s = time.perf_counter()
    for n in range(order["first"], order["first"] + order["count"]):
        result = single(n, order["us"])
        if result is not None and inspect.isawaitable(result):
            await result
    return {"seconds": time.perf_counter() - begin_s}


async def _paced(order: dict[str, Any], _bulk: Callable[..., Any], single: Callable[..., Any]) -> dict[str, Any]:
    sent_s, begin_s = [], time.monotonic() + LEAD_S
    for n, at_s in enumerate(order["at"], start=order["first"]):
        _until(begin_s + at_s)
        sent_s.append(time.monotonic())
        await _finish(single(n, order["us"]))
    return {"begin_s": begin_s, "sent_s": sent_s}


ORDERS = {"bulk": _bulk, "single": _singles, "paced": _paced}


async def _serve(bulk: Callable[..., Any], single: Callable[..., Any]) -> None:
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = await ORDERS[order["do"]](order, bulk, single)
        print(json.dumps(answer), flush=True)


def serve(bulk: Callable[..., Any], single: Callable[..., Any]) -> None:
    """Until standard input ends; for a library without async."""
    asyncio.run(_serve(bulk, single))


async def serve_async(bulk: Callable[..., Any], single: Callable[..., Any]) -> None:
    """The same inside a loop that already runs."""
    await _serve(bulk, single)


async def in_chunks(calls: Callable[[int], Any], numbers: range, size: int = 100) -> None:
    """For a library without a bulk call: so many calls under way at once."""
    for start in range(0, len(numbers), size):
        await asyncio.gather(*(calls(n) for n in numbers[start : start + size]))
