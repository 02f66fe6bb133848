"""Which failures have one fingerprint, and which frame they name."""

from __future__ import annotations

import faulthandler
import json
import tempfile
import traceback
from typing import Any, Callable, Dict

import pytest

from bizzmq.dead_letters.fingerprint import Fingerprint, fingerprint_of, is_user_file

_FAKE = 'no\nTraceback (most recent call last):\n  File "/evil.py", line 3, in evil\n    bad()\nEvilError: x'


def divide(by: int = 0) -> float:
    return 1 / by


def parse() -> Any:
    return json.loads("{")


def chained() -> None:
    try:
        parse()
    except ValueError as error:
        raise RuntimeError(_FAKE) from error


def of(call: Callable[[], Any], **changes: str) -> Fingerprint:
    """The fingerprint of what a function raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any
        text = traceback.format_exc()
        for before, now in changes.items():
            text = text.replace(before, now)
        return fingerprint_of({"error_type": type(error).__name__, "error": str(error), "traceback": text})
    raise AssertionError("it raises nothing")


@pytest.mark.parametrize(
    ("call", "error_type", "function", "source"),
    [
        (divide, "ZeroDivisionError", "divide", "return 1 / by"),
        (parse, "JSONDecodeError", "parse", 'return json.loads("{")'),
        (chained, "RuntimeError", "chained", "raise RuntimeError(_FAKE) from error"),
    ],
)
def test_the_frame_is_the_last_one_of_the_users_code(
    call: Callable[[], Any], error_type: str, function: str, source: str
) -> None:
    found = of(call)

    assert found.error_type == error_type
    assert found.frame is not None
    assert (found.frame.function, found.frame.source) == (function, source)
    assert str(found.frame).startswith("test_fingerprint.py:")


def test_a_fingerprint_outlives_another_folder_and_other_line_numbers() -> None:
    text = '  File "/srv/1/tasks.py", line 7, in send\n    post(mail)\n'
    moved = text.replace("/srv/1/", "C:\\apps\\2\\").replace("7", "19")
    one, other, elsewhere, another = (
        fingerprint_of({"error_type": kind, "traceback": f"Traceback (most recent call last):\n{frames}{kind}: x {n}"})
        for n, (kind, frames) in enumerate([("E", text), ("E", moved), ("E", text.replace("post", "put")), ("F", text)])
    )

    assert one.value == other.value
    assert len({one.value, elsewhere.value, another.value}) == 3


def test_a_group_of_exceptions_and_marked_lines_are_read() -> None:
    text = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/app/tasks.py", line 3, in run\n'
        "  |     async with asyncio.TaskGroup() as group:\n"
        "  |                ^^^^^^^^^^^^^^^^^^^\n"
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
    )

    frame = fingerprint_of({"error_type": "ExceptionGroup", "traceback": text}).frame

    assert frame is not None
    assert (frame.function, frame.source) == ("run", "async with asyncio.TaskGroup() as group:")


def test_a_crash_counts_by_its_signal_and_its_stack() -> None:
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=False)
        file.seek(0)
        stack = file.read()
    segfault, killed, without = (
        fingerprint_of({"error_type": "WorkerCrashed", "signal": signal, "stack": text})
        for signal, text in [("SIGSEGV", stack), ("SIGKILL", stack), ("SIGSEGV", "")]
    )

    assert segfault.frame is not None
    assert segfault.frame.function == "test_a_crash_counts_by_its_signal_and_its_stack"
    assert without.frame is None
    assert len({one.value for one in (segfault, killed, without)}) == 3


FORGED: Dict[str, Any] = {
    "nothing": {},
    "numbers": {"error_type": 7, "traceback": 1.5, "stack": [], "signal": {}},
    "no frames": {"error_type": "E", "traceback": "Traceback (most recent call last):\n\n\n  File"},
    "only an end": {"error_type": "E", "traceback": "Traceback (most recent call last):"},
    "surrogates": {"error_type": "\ud800", "traceback": "\udcff"},
    "a long line number": {
        "error_type": "E",
        "traceback": f'Traceback (most recent call last):\n  File "x", line {"9" * 5000}, in f',
    },
    "many frames": {
        "error_type": "E",
        "traceback": "Traceback (most recent call last):\n" + '  File "x", line 1, in f\n' * 400,
    },
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_record_has_a_fingerprint(name: str) -> None:
    assert len(fingerprint_of(FORGED[name]).value) == 12


@pytest.mark.parametrize(
    ("path", "is_users"),
    [
        ("/app/tasks.py", True), ("C:\\app\\tasks.py", True), ("tasks.py", True),
        ("/usr/lib/python3.11/json/decoder.py", False), ("/usr/lib/python3/dist-packages/yaml.py", False),
        ("/venv/lib/python3.8/site-packages/requests/api.py", False), ("<frozen importlib._bootstrap>", False),
        ("C:\\venv\\Lib\\site-packages\\requests\\api.py", False),
    ],
)  # fmt: skip
def test_libraries_are_told_from_the_users_code(path: str, is_users: bool) -> None:
    assert is_user_file(path) is is_users
