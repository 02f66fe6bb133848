"""`python -m bench walks` counts what it says, in each process of a pool."""

from __future__ import annotations

import sys

import pytest

from bench.call_log import Call, Walk, once
from bench.walks import measure


def test_a_walk_counts_calls_from_one_file_and_package_into_another() -> None:
    calls = [
        Call(1.0, "bizzmq/client.py", "publish", ""),
        Call(2.0, "bizzmq/client.py", "_lend", "bizzmq/client.py"),
        Call(3.0, "bizzmq/queue.py", "check", "bizzmq/client.py"),
        Call(4.0, "workers/ipc/channel.py", "send", "bizzmq/client.py"),
        Call(5.0, "workers/ipc/channel.py", "send", "bizzmq/client.py"),
    ]

    assert Walk.of(calls) == Walk(files=3, packages=2, calls=5, file_crossings=3, package_crossings=2)
    assert once(calls) == calls[:4]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a pool has a template only with /proc")
def test_every_walk_is_walked() -> None:
    walks = measure(repeats=1)

    assert [name for name, result in walks.items() if result.lua is not None] == [
        "publish one message",
        "publish 1,200 messages",
        "claim, run and ack three messages",
        "a message fails, is retried and acked",
    ]
    assert {name for name, result in walks.items() if result.lua is None} == {
        *(f"a pool boots: {role}" for role in ("supervisor", "janitor", "template", "worker")),
        *(f"a worker dies: {role}" for role in ("supervisor", "janitor")),
    }
    assert all(Walk.of(result.calls).packages > 1 for result in walks.values())
    assert all("publish" in result.lua for name, result in walks.items() if name.startswith("publish") and result.lua)
