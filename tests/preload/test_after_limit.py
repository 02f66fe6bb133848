"""After a limit has interrupted a message, its worker runs no more: broken state cannot affect other messages."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

DRIVER = """
import os, time

class Connection:
    '''As a driver's: what interrupts a query leaves the rest of its reply to the next one.'''
    left_over = None

    def query(self, question, takes_s):
        self.left_over, answer = question, self.left_over
        time.sleep(takes_s)
        self.left_over = None
        return answer or question

connection = Connection()

def handler(body):
    say(os.getpid(), body)
    if connection.query(body, 600 if body == "slow" else 0) != body:
        raise ValueError("the answer to another question")
"""


def error_of(home: Home, message: str) -> dict[str, Any]:
    from redis import Redis

    with Redis.from_url(home.url, decode_responses=True) as redis:
        found = eventually(
            lambda: envelope_of(redis, "q_dlq", message).error, PATIENCE_S, ignoring=(AssertionError, TypeError)
        )
    assert found is not None
    return found


def test_a_connection_interrupted_by_a_limit_is_used_by_no_other_message(home: Home) -> None:
    home.write(DRIVER)
    pool = home.pool("--timeout=0.5", concurrency=1)
    ids = home.mq.publish_messages_to_queue("q", ["slow", *range(20)])

    home.handled(20)

    assert error_of(home, ids[0])["error_type"] == "MessageTimeout"
    slow = next(line.split()[0] for line in home.lines() if line.endswith("slow"))
    after = home.lines()[home.lines().index(f"{slow} slow") + 1 :]
    assert all(line.split()[0] != slow for line in after), "it ran another message"
    assert "worker died" not in pool.log()
    assert home.mq.stats("q").dead_lettered_total == 1


def test_a_limit_that_the_handler_caught_ends_its_worker_too(home: Home) -> None:
    home.write(
        "import os, time, bizzmq\n"
        "def handler(body):\n"
        "    say(os.getpid())\n"
        "    try:\n        time.sleep(600 if body else 0)\n"
        "    except bizzmq.MessageTimeout:\n        pass\n"
    )
    home.pool("--timeout=0.3", concurrency=1)
    home.mq.publish_messages_to_queue("q", [1, 0, 0])

    home.handled(3)

    first, *others = home.lines()
    assert first not in others


def test_a_limit_that_a_library_wraps_is_still_that_limit(home: Home) -> None:
    home.write(
        "import time\n"
        "class DriverError(Exception):\n    pass\n"
        "def handler(body):\n"
        "    try:\n        time.sleep(600)\n"
        "    except Exception as error:\n        raise DriverError('the connection is lost') from error\n"
    )
    home.pool("--timeout=0.3", concurrency=1)
    message = home.mq.publish_message_to_queue("q", 1)

    error = error_of(home, message)

    assert error["error_type"] == "MessageTimeout"
    assert "DriverError" in error["traceback"] or "time.sleep" in error["traceback"]


@pytest.mark.usually(1)
@pytest.mark.parametrize("limit", ["timeout", "cpu-limit"])
def test_the_record_of_a_hard_kill_shows_where_the_handler_was(home: Home, limit: str) -> None:
    home.write(
        "def deep_in_a_loop():\n"
        "    while True:\n        try:\n            while True:\n                pass\n"
        "        except Exception:\n            pass\n"
        "def handler(body):\n    deep_in_a_loop()\n"
    )
    pool = home.pool(f"--{limit}=0.3", "--timeout-grace=0.2", concurrency=1)
    message = home.mq.publish_message_to_queue("q", 1)

    error = error_of(home, message)

    assert error["error_type"] == ("MessageTimeout" if limit == "timeout" else "CpuTimeExceeded")
    assert "in deep_in_a_loop" in str(error)
    eventually(lambda: "in deep_in_a_loop" in pool.log(), PATIENCE_S, pool.log)


def test_a_message_ended_by_a_hard_limit_is_logged_like_any_failure(home: Home) -> None:
    home.write(
        "import time\n"
        "def handler(body):\n    while True:\n        try:\n            time.sleep(600)\n"
        "        except Exception:\n            pass\n"
    )
    pool = home.pool("--timeout=0.3", "--timeout-grace=0.1", concurrency=1)
    home.mq.publish_message_to_queue("q", 1)

    eventually(lambda: home.mq.stats("q").dead_lettered_total == 1, PATIENCE_S)

    eventually(lambda: "message failed, dead-lettered" in pool.log(), PATIENCE_S, pool.log)


@pytest.mark.usually(1)
@pytest.mark.parametrize("how", ["child", "pool"])
def test_a_memory_limit_includes_processes_of_the_handler(home: Home, how: str) -> None:
    home.write(
        "import multiprocessing, time\n"
        "def grow(seconds):\n    data = bytearray(300_000_000)\n    data[::4096] = b'x' * len(data[::4096])\n"
        "    time.sleep(seconds)\n"
        "def handler(body):\n"
        + (
            "    child = multiprocessing.Process(target=grow, args=(600,))\n    child.start()\n    child.join()\n"
            if how == "child"
            else "    with multiprocessing.Pool(1) as pool:\n        pool.map(grow, [600])\n"
        )
    )
    home.pool("--kill-memory=250", concurrency=1)
    message = home.mq.publish_message_to_queue("q", 1)

    assert error_of(home, message)["error_type"] == "MemoryLimitExceeded"


def test_a_cpu_limit_includes_processes_of_the_handler(home: Home) -> None:
    home.write(
        "import subprocess, sys\ndef handler(body):\n    subprocess.run([sys.executable, '-c', 'while True: pass'])\n"
    )
    home.pool("--cpu-limit=0.5", "--timeout-grace=0.2", concurrency=1)
    message = home.mq.publish_message_to_queue("q", 1)

    assert error_of(home, message)["error_type"] == "CpuTimeExceeded"
