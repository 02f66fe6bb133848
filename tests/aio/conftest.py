"""Event loops for tests: asyncio's and uvloop's."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Awaitable, Callable, Coroutine, TypeVar

import pytest

T = TypeVar("T")
UNDER_UVLOOP = ("test_publishing.py", "test_publishing_in_trouble.py", "test_cancellation.py")
"""The tests that an ordinary run repeats under uvloop. The others do so in nightly runs."""
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "asyncio":
        return asyncio.new_event_loop()
    uvloop = pytest.importorskip("uvloop")
    return uvloop.new_event_loop()  # type: ignore[no-any-return]


def run_in(loop: asyncio.AbstractEventLoop, main: Awaitable[T]) -> T:
    """The result of a coroutine. Nothing is left in the loop, which is closed, and nothing was reported to it."""
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, report: reports.append(report))
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        gc.collect()  # what was never retrieved is reported by a finalizer
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()
    gc.collect()
    assert left == set()
    assert reports == []
    return result


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in a new event loop: run(main())."""
    return lambda main: run_in(new_loop(request.param), main)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "uvloop" in item.name and "/aio/" in str(item.path) and item.path.name not in UNDER_UVLOOP:
            item.add_marker(pytest.mark.nightly)
