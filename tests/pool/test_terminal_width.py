"""Tables fit a terminal of 80 columns; a wider one shows more, and output to a pipe is not cut."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any, Sequence

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.cli.helpers import with_options
from bizzmq.cli.pool import _duration
from bizzmq.cli.tables import ago
from bizzmq.dead_letters.letters import failed_at_s
from bizzmq.testing.wait import eventually
from bizzmq.workers.control import control_socket
from bizzmq.workers.control.control_socket import STATUS, answer_with
from bizzmq.workers.control.request_server import RequestServer
from tests.faults.scene import QUEUE, Scene
from tests.support.forked_command import Terminal, bizzmq

_MESSAGE = "000jzzzz0123456789ab"


def _slot(index: int, **others: Any) -> dict[str, Any]:
    return {
        "slot": index, "pid": 4_194_000 + index, "worker": "w", "state": "running", "message": _MESSAGE,
        "queue": "注文の処理" * 6, "task": "tasks.send_the_monthly_report",
        "running_for_s": -0.0, "memory_bytes": 123_456_789, "cpu_s": 1.0,
        "cpu_percent": 97.0,
        "handled": 12_345, "failed": 123, "restarts": 3, "last_death": "was killed by SIGKILL (out of memory)",
        "last_death_ago_s": 190.0, "starts_in_s": None, "generation": 0, **others,
    }  # fmt: skip


@pytest.fixture
def control(tmp_path: Path) -> Any:
    """The socket of a pool with long names, and a server that answers there."""
    directory = tmp_path / "own"
    directory.mkdir(mode=0o700)
    status = {
        "pid": 4_194_303, "state": "working", "not_ready": "", "uptime_s": 100_000.0, "version": "0.1.0",
        "supervisor": "some-host-with-a-long-name.example.org-0123456789ab", "working": 2, "target_workers": 2,
        "min_workers": 1, "max_workers": 2, "capacity": 9, "handled": 123_456_789, "failed": 9_999, "deaths": 12,
        "queues": [{"queue": f"queue-number-{n}", "closed_for_s": 0} for n in range(9)], "redis_away": False,
        "template": {"pid": 1, "state": "ready"}, "janitor_pid": 2, "reloads": 0, "generation": 0,
        "last_reload_error": "", "slots": [_slot(0), _slot(1, last_death="", last_death_ago_s=None)],
    }  # fmt: skip
    path = directory / "pool.sock"
    server = RequestServer(control_socket.bind(path), answer_with({STATUS: lambda: status}))
    yield path, server
    server.close()


def _columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def _fits(lines: Sequence[str], columns: int) -> bool:
    return max(map(_columns, lines)) <= columns


@pytest.mark.parametrize(("columns", "table_head"), [(80, "died"), (200, "last death")])
def test_a_pool_fits_and_names_queue_and_time(control: Any, columns: int, table_head: str) -> None:
    path, server = control
    with Terminal("pool", "--control", str(path), columns=columns) as terminal:
        eventually(lambda: server.serve() or terminal.forked.poll() is not None, 30.0)
        lines = terminal.lines()

    assert _fits(lines, columns), terminal.screen
    (head,) = (line for line in lines if line.startswith("slot"))
    assert head.rstrip().endswith(table_head)
    assert {"queue", "task", "running", "died"} <= {*head.split()}
    assert "tasks.send" in terminal.screen
    assert _MESSAGE in terminal.screen
    assert "注文の" in terminal.screen
    assert "-0.0" not in terminal.screen
    assert "3 min ago" in terminal.screen
    assert "SIGKILL" in terminal.screen


def test_dead_letters_fit_and_a_pipe_is_not_cut(scene: Scene) -> None:
    stop = scene.mq.consume_message_from_queue(QUEUE, _fail)
    (message,) = scene.publish({}, retries=0)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 1)
    stop()

    for columns in (80, 40, 160):
        with Terminal("dlq", "list", QUEUE, columns=columns, REDIS_URL=scene.url) as terminal:
            head, line = terminal.lines()
        assert _fits([head, line], columns)
        assert message in line
        assert ("failed_at" in head) == (columns == 160)
        assert " ago" in line or "just now" in line or columns < 80
        assert "..." in line
    assert "失敗" * 50 in bizzmq("dlq", "list", QUEUE, REDIS_URL=scene.url).out


class TheHandlerHasFailedInAWayThatTakesLongToName(Exception):  # noqa: N818 - the name is what is tested
    pass


def _fail(_body: object) -> None:
    raise TheHandlerHasFailedInAWayThatTakesLongToName("失敗" * 50)


def test_queues_fit(redis: Redis, url: str) -> None:
    for name in ("q" * 120, "short"):
        bizzmq("queue", "create", name, REDIS_URL=url)
        redis.hset(f"bizzmq:{{{name}}}:stats", mapping={"published": 10**12, "acked": 10**12})

    with Terminal("queues", REDIS_URL=url) as terminal:
        lines = terminal.lines()
    assert _fits(lines, 80)
    assert lines[0].split() == [
        "queue", "waiting", "oldest", "processing", "dead", "workers", "in/min", "out/min"
    ]  # fmt: skip
    assert "q" * 120 in bizzmq("queues", REDIS_URL=url).out


def test_ages_are_shown_in_words() -> None:
    reported = {-5: "just now", 0.4: "just now", 12.9: "12 s ago", 190: "3 min ago", 7300: "2 h ago", 10**6: "11 d ago"}
    assert {seconds: ago(seconds) for seconds in reported} == reported
    assert failed_at_s({"failed_at": "2026-01-02T03:04:05Z"}) == 1767323045
    assert [failed_at_s({"failed_at": text}) for text in ("", "soon", "\x1b")] == [None] * 3
    assert _duration(-0.01) == "0.0 s"


def test_a_list_fits_with_task_and_key_and_without_them(url: str, mq: BizzMQ, queue: str) -> None:
    plain = mq.publish_message_to_queue(queue, {"to": "x" * 200})
    with Terminal("list", queue, REDIS_URL=url) as terminal:
        head, line = terminal.lines()
    assert {"task", "key"}.isdisjoint(head.split())
    assert line.startswith(plain)

    options = ("--task", "shop.mail.send_the_report", "--key", "tenant-7")
    bizzmq("publish", queue, "{}", *options, REDIS_URL=url)
    for columns in (80, 200):
        with Terminal("list", queue, columns=columns, REDIS_URL=url) as terminal:
            lines = terminal.lines()
        assert _fits(lines, columns)
        assert {"id", "published", "task", "key", "body"} <= {*lines[0].split()}
        assert "tenant-7" in lines[-1]


def test_the_rates_of_stats_fit(url: str, mq: BizzMQ, queue: str) -> None:
    assert mq.consume_until_empty(queue, print, timeout_s=30) == 0
    with Terminal("stats", queue, REDIS_URL=url) as terminal:
        lines = terminal.lines()
    assert _fits(lines, 80)
    assert [line.split()[0] for line in lines[-4:]] == ["a", "incoming", "outgoing", "failed"]


def test_an_error_names_the_options_of_its_command() -> None:
    known = {"--unique-until", "--unique-for", "--delay", "--expires"}
    assert with_options("unique_until and unique_for_s need a unique_key", known) == (
        "--unique-until and --unique-for need a unique_key"
    )
    assert with_options("expires_s must be longer than delay_s, not 'delay'", known) == (
        "--expires must be longer than --delay, not 'delay'"
    )
    assert with_options("the name is no expires", known) == "the name is no expires"
