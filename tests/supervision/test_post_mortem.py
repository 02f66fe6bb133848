"""Every death of a worker is explained: in the log, on its message, and by `bizzmq dlq show`."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from bizzmq.protocol.ids import host_name
from bizzmq.testing.ledger import Run
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.pool.command import OPERATOR, run
from tests.supervision.recording_handlers import FACTS
from tests.supervision.recording_handlers import HANDLER as RECORDING_HANDLER

ACTIONS = "tests/support/actions.py"


def shown(scene: Scene, message: str) -> dict[str, Any]:
    """Wait for a quarantined message and return what the operator sees of it."""
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1, PATIENCE_S)
    letter = run(OPERATOR, "dlq", "show", QUEUE, message, "--json", REDIS_URL=scene.url).json()
    assert letter["id"] == message
    return dict(letter["error"])


def fields_of_death(log: str) -> dict[str, str]:
    """The fields of the only death in the log, by name; the lines below it as `trace`."""
    (at,) = [number for number, line in enumerate(log.splitlines()) if "worker died" in line]
    line, *rest = log.splitlines()[at:]
    trace = [text for text in rest if text.startswith("    | ")]
    return {**dict(word.split("=", 1) for word in line.split() if "=" in word), "line": line, "trace": "\n".join(trace)}


def crashed(scene: Scene, action: str, **fields: Any) -> tuple[str, Run]:
    """Publish a message whose first delivery kills its worker; returns it and the run of that delivery."""
    gate = scene.gate()
    message = scene.publish_one(gate.body(action, **fields))
    first = scene.ledger.wait_started(message)
    gate.open(1)
    return message, first


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("action", "fields", "how", "name", "value"),
    [
        ("kill_self", {}, "was killed by SIGKILL", "signal", "SIGKILL"),
        ("kill_self", {"signal": int(signal.SIGRTMAX)}, "was killed by", "signal", "SIGRTMAX"),
        ("segv", {}, "was killed by SIGSEGV", "signal", "SIGSEGV"),
        ("os_exit", {"code": 0}, "exited with code 0", "exit_code", 0),
        ("kill_self", {"signal": int(signal.SIGBUS)}, "was killed by SIGBUS", "signal", "SIGBUS"),
        ("abort", {}, "was killed by SIGABRT", "signal", "SIGABRT"),
        ("os_exit", {"code": 3}, "exited with code 3", "exit_code", 3),
    ],
)
def test_a_death_is_explained_in_the_log_and_on_the_message(
    scene: Scene, action: str, fields: dict[str, int], how: str, name: str, value: object
) -> None:
    pool = scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)
    (worker_id,) = scene.registered()
    message, first = crashed(scene, action, **fields)

    error = shown(scene, message)

    assert error["error_type"] == "WorkerCrashed"
    assert how in error["error"]
    assert error[name] == value
    assert ("signal" in error) != ("exit_code" in error)
    assert (error["worker"], error["host"], error["queue"]) == (worker_id, host_name(), QUEUE)
    assert (error["crash_count"], error["crash_limit"]) == (1, 1)
    assert error["peak_memory_bytes"] > 5_000_000
    assert error["cpu_s"] > 0
    assert 0 < error["ran_s"] < PATIENCE_S
    death = fields_of_death(pool.log())
    assert how in death["line"]
    assert " ERROR " in death["line"]
    assert (death["worker"], death["pid"], death["message"]) == (worker_id, str(first.pid), message)
    assert death[name] == str(value)
    assert death["queue"] == QUEUE
    assert [float(death[key]) for key in ("cpu_s", "ran_s")] == [error["cpu_s"], error["ran_s"]]
    assert int(death["peak_memory_bytes"]) == error["peak_memory_bytes"]


@pytest.mark.parametrize("action", ["segv", "abort"])
def test_a_fatal_signal_leaves_the_stack_of_the_users_frames(scene: Scene, action: str) -> None:
    pool = scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)
    message, _ = crashed(scene, action)

    stack = shown(scene, message)["stack"]

    death = fields_of_death(pool.log())
    for text in (stack, death["trace"]):
        assert "Fatal Python error: " in text
        assert f'{ACTIONS}", line' in text
        assert f" in {action}" in text
        assert 'tests/faults/gated_handler.py", line' in text
        assert "workers/" not in text, "frames outside the handler explain nothing"
        assert "bizzmq/consumer/handlers/handler.py" not in text


def test_the_run_time_of_the_message_is_recorded(scene: Scene) -> None:
    scene.pool("--max-crashes=1", concurrency=1)
    message = scene.publish_one({"do": "wait_for_file", "path": "/never/there"})
    first = scene.ledger.wait_started(message)
    eventually(lambda: time.monotonic() - first.start.time_s > 1.0)

    os.kill(first.pid, signal.SIGKILL)

    assert 1.0 <= shown(scene, message)["ran_s"] < PATIENCE_S


def test_the_next_deliveries_receive_the_last_crash(scene: Scene) -> None:
    scene.pool(handler=RECORDING_HANDLER, concurrency=1)

    message = scene.publish_one({"do": "os_exit", "code": 3, "times": 2})

    scene.settle(extra_runs=2)
    first, second, third = (event.fields["crash"] for event in scene.ledger.events(FACTS) if event.id == message)
    assert first is None
    assert [(crash["exit_code"], crash["crash_count"]) for crash in (second, third)] == [(3, 1), (3, 2)]
    assert third["worker"] != second["worker"]


def test_a_crash_before_the_last_failure_is_still_on_the_dead_letter(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    gate = scene.gate()
    message = scene.publish_one(gate.body("segv", "raise"), retries=0)
    gate.open()

    error = shown(scene, message)

    assert error["error_type"] == "ActionError"
    assert error["last_crash"]["signal"] == "SIGSEGV"
    text = run(OPERATOR, "dlq", "show", QUEUE, message, REDIS_URL=scene.url).out
    assert "was killed by SIGSEGV" in text
    assert pool.exit_code is None


def test_dlq_show_is_readable(scene: Scene) -> None:
    scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)
    message, _ = crashed(scene, "segv")
    shown(scene, message)

    lines = run(OPERATOR, "dlq", "show", QUEUE, REDIS_URL=scene.url).lines()

    named = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if not line.startswith(" ")}
    assert named["id"] == message
    assert named["signal"] == "SIGSEGV"
    assert named["host"] == host_name()
    assert {"worker", "ran_s", "cpu_s", "peak_memory_bytes", "crash_count", "error", "failed_at"} <= set(named)
    assert [line for line in lines if line.strip().startswith("File ") and ACTIONS in line], "a stack, line by line"


def test_a_worker_that_dies_without_a_message_is_explained_too(scene: Scene) -> None:
    pool = scene.pool(concurrency=1)
    (victim,) = pool.worker_pids()

    os.kill(victim, signal.SIGKILL)

    log_says(pool, "worker died")
    death = fields_of_death(pool.log())
    assert (death["pid"], death["signal"]) == (str(victim), "SIGKILL")
    assert "message" not in death
    assert "ran_s" not in death
