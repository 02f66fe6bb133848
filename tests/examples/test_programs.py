"""The examples, including the first two published ones, work as documented, in processes of their own."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest
from redis import Redis

from bizzmq.testing.wait import eventually
from tests.support.program import ROOT, StartProgram

PUBLISHED = ROOT / "tests" / "data"


def published(name: str, url: str, directory: Path) -> str:
    """The path of a published program, unchanged except for the server's address."""
    text = (PUBLISHED / f"published_{name}.py.txt").read_text(encoding="utf-8")
    text, replaced = re.subn(r'redis_url="[^"]*"', f'redis_url="{url}"', text)
    assert replaced == 1
    path = directory / f"published_{name}.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("origin", ["published", "examples"])
def test_the_basic_example_handles_both_messages(
    run: StartProgram, url: str, redis: Redis, tmp_path: Path, origin: str
) -> None:
    path = published("basic", url, tmp_path) if origin == "published" else "basic.py"
    program = run(path, BIZZMQ_REDIS_URL=url)

    program.wait_for("Processed message successfully!", times=2)
    program.wait_for("Consumer running. Press Ctrl+C to stop...")
    program.stop()

    output = program.output()
    assert output.count("Processing message: {'id': 1, 'content': 'Hello from BizzMQ!'") == 1
    assert output.count("Processing message: {'id': 2, 'content': 'Hello from BizzMQ! Second Message'") == 1
    assert output.rstrip().endswith("Shutting down...")
    assert redis.hlen("bizzmq:{email-queue}:messages") == 0


@pytest.mark.parametrize("origin", ["published", "examples"])
def test_the_failing_message_reaches_the_dead_letter_handler(
    run: StartProgram, url: str, redis: Redis, tmp_path: Path, origin: str
) -> None:
    path = published("dead_letter", url, tmp_path) if origin == "published" else "dead_letter.py"
    program = run(path, BIZZMQ_REDIS_URL=url)

    message = "message: {'id': 1, 'content': 'This message will fail and go to DLQ'"
    program.wait_for(f"DLQ received failed {message}")
    eventually(lambda: redis.hlen("bizzmq:{main-queue}:dlq:messages") == 0, what="the dead letter's ack")
    program.stop()

    assert program.output().count(f"Receiving {message}") == 3  # the first attempt and two retries
    assert program.output().rstrip().endswith("Shutting down...")
    assert redis.hlen("bizzmq:{main-queue}:messages") == 0


def test_the_task_example_is_handled_by_a_pool(run: StartProgram, url: str) -> None:
    pool = run("-m", "bizzmq.workers", "--concurrency=2", "tasks:handler", BIZZMQ_REDIS_URL=url)
    publisher = run("publish_tasks.py", "--count", "20", "--watch", BIZZMQ_REDIS_URL=url)

    publisher.succeeds()
    pool.stop(signal.SIGTERM)

    assert "handled 20 messages, 0 in default_dlq" in publisher.output()
    assert len(re.findall(r" \d+ = \d+ x \d+$", pool.output(), flags=re.MULTILINE)) == 20, pool.output()


def test_the_task_is_computed_correctly(example: Callable[[str], ModuleType]) -> None:
    factors = example("tasks").factors

    assert factors(2) == [2]
    assert factors(2**4 * 3 * 97 * 97) == [2, 2, 2, 2, 3, 97, 97]
    with pytest.raises(ValueError, match="no prime factors"):
        factors(1)
