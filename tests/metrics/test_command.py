"""`bizzmq metrics`: the history as tables."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import App, BizzMQ
from tests.pool.command import OPERATOR, run


@pytest.fixture
def shown(url: str, mq: BizzMQ) -> Any:
    app = App(url, queue="q")

    @app.task(name="half", max_retries=0)
    def half(n: int) -> None:
        if n % 2:
            raise ValueError("odd")

    mq.create_queue("q")
    for number in range(6):
        half.using(key=f"tenant-{number % 3}").publish(number)
    half.publish(1)
    with BizzMQ(url) as client:
        client.consume_until_empty("q", app, timeout_s=60)
    app.close()

    def metrics(*arguments: str) -> Any:
        return run(OPERATOR, "--redis-url", url, "metrics", *arguments)

    return metrics


def test_the_history_by_time_task_and_key(shown: Any) -> None:
    by_time, by_task, by_key = shown("q"), shown("q", "--by", "task"), shown("q", "--by=key", "--last=2d")

    head, *lines = by_time.lines()
    assert head.split()[:4] == ["from", "(UTC)", "handled", "failed"]
    steps = [line.split() for line in lines if line.startswith("20") and "started" not in line]
    counts = [[int(cell) for cell in step[2:4]] for step in steps]
    assert [sum(column) for column in zip(*counts)] == [7, 4]
    assert "was started with code" in by_time.out
    assert [line.split()[:3] for line in by_task.lines()[1:]] == [["half", "7", "4"]]
    assert {tuple(line.split()[:3]) for line in by_key.lines()[1:]} == {
        ("tenant-0", "2", "1"), ("tenant-1", "2", "1"), ("tenant-2", "2", "1"),
    }  # fmt: skip
    document = shown("q", "--json", "--step", "1m").json()
    assert (document["step_s"], set(document["tasks"]), len(document["keys"])) == (60, {"half"}, 3)


def test_an_empty_history_says_so(url: str, mq: BizzMQ) -> None:
    mq.create_queue("q")
    for by, sentence in (("task", "no message was handled"), ("key", "no message with a key was handled")):
        assert sentence in run(OPERATOR, "--redis-url", url, "metrics", "q", "--by", by).out
    assert "left out: no pool was there" in run(OPERATOR, "--redis-url", url, "metrics", "q").out


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["nowhere"], 1, "does not exist"),
        (["q", "--last", "40d"], 2, "--last"),
        (["q", "--last", "1s"], 2, "--last"),
        (["q", "--step", "7s"], 2, "--step"),
        (["q", "--step", "15s"], 2, "step_s must be a multiple of 10 s"),
        (["q", "--last", "2h", "--step", "10s"], 2, "step_s must be a multiple of 60 s"),
        (["q", "--by", "host"], 2, "--by"),
        ([], 2, "QUEUE"),
    ],
)
def test_bad_input_gets_one_line(url: str, mq: BizzMQ, arguments: list[str], code: int, named: str) -> None:
    mq.create_queue("q")

    ended = run(OPERATOR, "--redis-url", url, "metrics", *arguments)

    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert named in ended.err
