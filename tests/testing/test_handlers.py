"""The test handlers do what bodies request and record it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from bizzmq.errors import Reject, RetryLater
from bizzmq.testing.ledger import Ledger
from tests import handlers
from tests.support.actions import ActionError
from tests.support.paths import ROOT


@dataclass(frozen=True)
class StubContext:
    id: str = "m1"
    queue: str = "q"
    delivery: int = 1
    retry_count: int = 0


def outcomes(ledger: Ledger) -> list[str]:
    return [event.fields["outcome"] for event in ledger.ends()]


def test_a_handler_records_its_start_and_its_end(ledger: Ledger) -> None:
    handlers.ok({}, StubContext(delivery=3, retry_count=2))

    (start,) = ledger.starts()
    assert start.fields == {"queue": "q", "delivery": 3, "retry_count": 2}
    assert outcomes(ledger) == ["ok"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"do": "raise", "text": "why"}, ActionError),
        ({"do": "exit", "code": 3}, SystemExit),
        ({"do": "keyboard_interrupt"}, KeyboardInterrupt),
        ({"do": "base_exception"}, BaseException),
        ({"do": "retry_later", "delay_s": 7}, RetryLater),
        ({"do": "reject"}, Reject),
    ],
)
def test_a_raised_exception_is_recorded_as_an_error(ledger: Ledger, body: Any, error: type[BaseException]) -> None:
    with pytest.raises(error):
        handlers.by_body(body, StubContext())

    assert outcomes(ledger) == ["error"]


def test_a_returned_error_is_recorded_as_one(ledger: Ledger) -> None:
    assert isinstance(handlers.by_body({"do": "return_error"}, StubContext()), ActionError)

    assert outcomes(ledger) == ["error"]


def test_an_action_can_be_limited_to_the_first_deliveries(ledger: Ledger) -> None:
    body = {"do": "raise", "times": 2}
    for delivery in (1, 2):
        with pytest.raises(ActionError):
            handlers.by_body(body, StubContext(delivery=delivery))

    handlers.by_body(body, StubContext(delivery=3))

    assert outcomes(ledger) == ["error", "error", "ok"]


@pytest.mark.parametrize("handler", [handlers.async_ok, handlers.async_slow, handlers.async_by_body])
def test_async_handlers_record_too(ledger: Ledger, handler: Callable[..., Any]) -> None:
    asyncio.run(handler({"sleep_s": 0}, StubContext()))

    assert outcomes(ledger) == ["ok"]


def test_a_message_can_be_held_until_the_test_releases_it(ledger: Ledger, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    body = {"do": "wait_for_file", "path": str(gate)}
    running = threading.Thread(target=handlers.by_body, args=(body, StubContext()))
    running.start()
    assert ledger.wait_started("m1").end is None

    gate.touch()
    running.join()

    assert outcomes(ledger) == ["ok"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"do": "os_exit", "code": 3}, 3),
        ({"do": "segv"}, -signal.SIGSEGV),
        ({"do": "abort"}, -signal.SIGABRT),
        ({"do": "kill_self"}, -signal.SIGKILL),
    ],
)
def test_the_death_of_a_process_leaves_a_start_without_an_end(ledger: Ledger, body: Any, status: int) -> None:
    code = "import json, sys; from tests import handlers; from tests.testing import test_handlers as own; "
    code += "handlers.by_body(json.loads(sys.argv[1]), own.StubContext())"

    command = [sys.executable, "-c", code, json.dumps(body)]
    done = subprocess.run(command, cwd=ROOT, check=False, stderr=subprocess.DEVNULL)

    assert done.returncode == status
    assert [run.end for run in ledger.runs()] == [None]
