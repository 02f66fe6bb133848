"""Webhooks and commands: what they get, and that no trouble of theirs lasts longer than its time."""

from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import psutil
import pytest

from bizzmq.alerts.senders import Notice, SendError, ToCommand, ToWebhook, Tried
from bizzmq.errors import ConfigurationError
from bizzmq.testing.wait import eventually

NOTICE = Notice("no-worker", "begin", "mail", "mail has 1 message waiting, and no worker", 1.0, 2.0, 1, 60.0)


class Webhook:
    """Answers by `statuses`, the last one for all further requests, and keeps what it gets."""

    def __init__(self) -> None:
        self.statuses, self.got = [204], []
        self.statuses: List[int]
        self.got: List[Tuple[str, dict[str, str], Any]]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers.items()), json.loads(body)))
                status = outer.statuses.pop(0) if len(outer.statuses) > 1 else outer.statuses[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - what a followed redirect would call

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=secret"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.close()


def test_a_webhook_gets_json_with_a_token(webhook: Webhook) -> None:
    ToWebhook(webhook.url, "a token").send(NOTICE)

    ((path, headers, body),) = webhook.got
    assert path == "/hook?key=secret"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer a token"
    assert body == {
        "id": "mail/no-worker/1000", "text": "alert: mail has 1 message waiting, and no worker", "alert": "no-worker",
        "state": "begin", "queue": "mail", "sentence": "mail has 1 message waiting, and no worker", "since_s": 1.0,
        "at_s": 2.0, "value": 1, "limit": 60.0,
    }  # fmt: skip


def test_a_webhook_that_fails_is_tried_three_times(webhook: Webhook) -> None:
    waits: List[float] = []
    webhook.statuses = [500, 503, 200]
    Tried(ToWebhook(webhook.url), waits.append).send(NOTICE)
    assert (len(webhook.got), waits) == (3, [1.0, 3.0])

    webhook.statuses = [500]
    with pytest.raises(SendError, match="answered 500"):
        Tried(ToWebhook(webhook.url), waits.append).send(NOTICE)
    assert len(webhook.got) == 6


def test_a_redirect_is_no_success_and_is_not_followed(webhook: Webhook) -> None:
    webhook.statuses = [302]

    with pytest.raises(SendError, match="answered 302"):
        ToWebhook(webhook.url).send(NOTICE)

    assert len(webhook.got) == 1


def test_a_webhook_that_hangs_costs_its_time_only_and_keeps_few_threads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = ToWebhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.05)
        problems = set()
        for _ in range(6):
            with pytest.raises(SendError) as caught:
                sender.send(NOTICE)
            problems.add(str(caught.value))
    assert problems <= {
        "the webhook has not answered within 0.1 s", "the webhook has not answered earlier alerts yet",
        "the webhook cannot be reached: TimeoutError", "the webhook cannot be reached: timeout",
    }  # fmt: skip


def test_an_address_where_nobody_listens_is_an_error_without_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(SendError) as caught:
        ToWebhook(f"http://127.0.0.1:{port}/T0/secret").send(NOTICE)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [
    "", "mail", "ftp://host/", "http://", "https://user:password@host/", "http://host:99999/", "http://host:x/",
    "http://host/a b", "http://host/\n", "http://h\u00f6st/",
])  # fmt: skip
def test_a_bad_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https://HOST/PATH") as caught:
        ToWebhook(url)

    assert "password" not in str(caught.value).replace("user and password", "")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_command_gets_json_and_variables(tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = script(tmp_path / "notify", f'cat > {out}; echo " $1 $BIZZMQ_ALERT_ALERT $BIZZMQ_ALERT_STATE" >> {out}')

    ToCommand(f"{line} 'two words'").send(NOTICE)

    text, _, rest = out.read_text().partition("} ")
    assert json.loads(text + "}")["queue"] == "mail"
    assert rest == "two words no-worker begin\n"


def test_a_command_that_fails_dies_or_reads_nothing(tmp_path: Path) -> None:
    for text, problem in {"exit 3": "exit code 3", "kill -9 $$": "signal 9"}.items():
        with pytest.raises(SendError, match=problem):
            ToCommand(script(tmp_path / "notify", text)).send(NOTICE)
    ToCommand(script(tmp_path / "notify", "exec <&-; exit 0")).send(NOTICE)


def test_a_command_that_hangs_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = script(tmp_path / "notify", f"sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait")
    for timeout_s in (1.0, 10.0, 30.0):  # on a slow machine a shell may take longer to begin
        with pytest.raises(SendError, match="not ended within"):
            ToCommand(line, timeout_s=timeout_s).send(NOTICE)
        if pids.exists():
            break

    found = [int(pid) for pid in pids.read_text().split()]
    eventually(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in found))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("line", ["", "  ", "'open", "no-such-program-anywhere x", "/etc/passwd"])
def test_a_bad_command_is_refused(line: str) -> None:
    with pytest.raises(ConfigurationError):
        ToCommand(line)


def test_a_command_that_has_gone_meanwhile_is_an_error(tmp_path: Path) -> None:
    line = script(tmp_path / "notify", "exit 0")
    sender = ToCommand(line)
    os.unlink(line)  # noqa: PTH108 - a path as text

    with pytest.raises(SendError, match="cannot be started"):
        sender.send(NOTICE)
