"""`bizzmq watch-alerts`: exit codes, bad input, a service that is stopped, and the rights of its user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.doctor import acl_rules, roles
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, refused, run
from tests.support.paths import ROOT

ALERTS_RULES = (
    "(+eval +evalsha ~bizzmq:{*}:*)", "(+hdel +hget +hgetall +hset ~bizzmq:{*}:alerts)",
    "(+zrange %R~bizzmq:{*}:due)",
)  # fmt: skip


@pytest.fixture
def notify(tmp_path: Path) -> tuple[str, Path]:
    """A command that appends what it gets to a file."""
    out, script = tmp_path / "out", tmp_path / "notify"
    script.write_text(f"#!/bin/sh\ncat >> {out}\necho >> {out}\n", encoding="utf-8")
    script.chmod(0o755)
    return str(script), out


def sent(out: Path) -> list[tuple[str, str]]:
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [(one["alert"], one["state"]) for one in map(json.loads, lines)]


def test_once_sends_what_is_new_and_its_exit_code_says_whether_an_alert_holds(
    mq: BizzMQ, url: str, notify: tuple[str, Path]
) -> None:
    command, out = notify
    arguments = ["--redis-url", url, "watch-alerts", "--once", "--no-worker", "0s", "--command", command]
    mq.create_queue("q")
    quiet = run(OPERATOR, *arguments)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    mq.publish_message_to_queue("q", 1)

    for _ in range(2):
        found = run(OPERATOR, *arguments)
        assert (found.code, found.out) == (1, "q has 1 message waiting, and no worker\n")
    assert sent(out) == [("no-worker", "begin")]
    mq.purge("q")

    assert run(OPERATOR, *arguments, "q").code == 0
    assert sent(out) == [("no-worker", "begin"), ("no-worker", "over")]


def test_without_a_place_to_send_to_it_is_the_log(mq: BizzMQ, url: str) -> None:
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 1)
    found = run(OPERATOR, "--redis-url", url, "watch-alerts", "--once", "--no-worker", "0s", "--log-format", "json")

    (line,) = map(json.loads, found.err.splitlines())
    assert (line["event"], line["alert"], line["queue"]) == ("alert", "no-worker", "q")


def test_a_service_ends_in_order_and_does_not_repeat_itself_when_it_is_started_again(
    mq: BizzMQ, url: str, notify: tuple[str, Path]
) -> None:
    command, out = notify
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 1)
    arguments = ["watch-alerts", "--no-worker", "0s", "--every", "1s", "--command", command]

    def started() -> Any:
        return subprocess.Popen(
            [sys.executable, "-m", "bizzmq", "--redis-url", url, *arguments], cwd=str(ROOT), env={**os.environ}
        )

    with started() as first:
        eventually(lambda: sent(out) == [("no-worker", "begin")], 60)
        first.send_signal(signal.SIGKILL)
    with started() as second:
        mq.publish_message_to_queue("q", 2)
        mq.create_queue("r")
        mq.publish_message_to_queue("r", 1)  # so that it is seen that the second one looks
        eventually(lambda: len(sent(out)) == 2, 60)
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 0
    assert [json.loads(line)["queue"] for line in out.read_text().splitlines()] == ["q", "r"]


@pytest.mark.parametrize("arguments", [
    ["--oldest-waiting", "soon"], ["--oldest-waiting", "-1s"], ["--oldest-waiting", "mail="],
    ["--oldest-waiting", "=1s"],
    ["--dead-letters", "0"], ["--dead-letters", "1.5"], ["--worker-deaths", "mail_dlq=1"], ["--redis-away", "mail=1s"],
    ["--no-worker", "1s", "--no-worker", "2s"], ["--no-worker", "a=1s", "--no-worker", "a=2s"], ["a", "a"],
    ["a", "--no-worker", "b=1s"], ["mail_dlq"], ["bad name"], ["images:1"], ["--every", "0"], ["--timeout", "0"],
    ["--webhook", "mail"], ["--webhook", "http://h/", "--command", "true"], ["--command", "no-such-program-anywhere"],
    ["--webhook-token-file", "/dev/null"], ["--webhook", "http://h/", "--webhook-token-file", "/nowhere"],
])  # fmt: skip
def test_bad_input_is_refused_in_one_line(url: str, arguments: list[str]) -> None:
    refused(OPERATOR, "--redis-url", url, "watch-alerts", *arguments)


def test_once_without_redis_says_so() -> None:
    found = run(OPERATOR, "--redis-url", "redis://127.0.0.1:1/0", "watch-alerts", "--once")

    assert found.code == 1
    assert "Redis is unavailable" in found.err


def test_the_documented_user_may_do_it(private_server: Any, notify: tuple[str, Path]) -> None:
    command, out = notify
    server = private_server()
    text = (ROOT / "docs" / "operations" / "security.md").read_text(encoding="utf-8")
    for rule in ALERTS_RULES:
        assert f"`{rule}`" in text
    with server.client() as admin, BizzMQ(server.url) as mq:
        if int(admin.info("server")["redis_version"].split(".")[0]) < 7:
            pytest.skip("rules in brackets need Redis 7")
        mq.create_queue("q")
        mq.publish_message_to_queue("q", 1)
        rules = [*acl_rules.rules(roles.ROLES["viewer"]), *ALERTS_RULES]
        _set_user(admin, rules)
        url = server.url.replace("redis://", "redis://watcher:secret@")
        arguments = ["--redis-url", url, "watch-alerts", "--once", "--no-worker", "0s", "--oldest-waiting", "0s"]

        found = run(OPERATOR, *arguments, "--command", command)
        assert (found.code, found.err) == (1, "")
        mq.purge("q")
        assert run(OPERATOR, *arguments, "--command", command).code == 0

    assert len(sent(out)) == 4


def _set_user(admin: Redis, rules: list[str]) -> None:
    admin.execute_command("ACL", "SETUSER", "watcher", "on", ">secret", "resetchannels", *rules)
