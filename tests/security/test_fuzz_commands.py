"""Any command line and any address works or is refused with a message, never with a traceback of ours."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, Iterator, NoReturn
from unittest import mock

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bizzmq import BizzMQ, ConfigurationError
from bizzmq.cli.main import command as operator
from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.connection.url import check_url
from bizzmq.utils import console
from bizzmq.utils.redaction import redact, scheme_and_host
from bizzmq.workers import WorkerConfig, exit_codes
from bizzmq.workers import cli as worker_cli
from bizzmq.workers.control import control_socket, health
from tests.support.examples import examples

CANARY = "canary-77aa"
bounded = settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
numbers = st.one_of(st.integers().map(str), st.floats().map(str))


def options_of(command: click.Command) -> st.SearchStrategy[str]:
    """Options of a command, with or without a value of any kind."""
    names = ["--help", *(name for parameter in command.params for name in parameter.opts if name.startswith("-"))]
    values = st.one_of(words, numbers)
    return st.one_of(
        st.sampled_from(names), st.builds("{}={}".format, st.sampled_from(names), values), words.map("--{}".format)
    )


@contextmanager
def quiet() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Capture the output of a command; restore log settings and signal handlers after it."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BIZZMQ_", "REDIS_"))}
    try:
        with mock.patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            yield out, err
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def ended(command: click.Command, name: str, arguments: list[str], codes: set[int], secret: str = CANARY) -> None:
    """Run a command to its end; check its exit code, that there is no traceback, and that a refusal is one line."""
    stdin = io.TextIOWrapper(io.BytesIO(b'{"n": 1}\nnot json\n'))
    argv = mock.patch.object(sys, "argv", [name, *arguments])
    with quiet() as (_out, err), argv, mock.patch.object(sys, "stdin", stdin), pytest.raises(SystemExit) as raised:
        console.run(command, name)
    assert raised.value.code in codes, (arguments, err.getvalue())
    assert "Traceback" not in err.getvalue()
    assert secret not in err.getvalue()


@bounded
@given(data=st.data())
def test_any_bizzmq_command_line_works_or_is_refused(url: str, data: st.DataObject) -> None:
    assert isinstance(operator, click.Group)
    tame = [name for name in operator.commands if name not in ("dashboard", "demo", "torture", "pool", "top")]
    path: list[str] = [data.draw(st.sampled_from(tame))]
    command: click.Command = operator.commands[path[0]]
    if isinstance(command, click.Group):
        path.append(data.draw(st.sampled_from(sorted(command.commands))))
        command = command.commands[path[1]]
    arguments = data.draw(st.lists(st.one_of(st.just("q"), words, numbers, options_of(command)), max_size=4))
    arguments = [word for word in arguments if not word.startswith(("--lease", "--watch", "--timeout", "--seconds"))]
    if path == ["watch-alerts"]:  # without --once it runs until it is stopped, and --command runs a program
        arguments = ["--once", *(word for word in arguments if not word.startswith("--command"))]

    ended(operator, "bizzmq", [f"--redis-url={url}", *path, *arguments], {0, 1, 2})


@bounded
@given(arguments=st.lists(st.one_of(words, numbers, options_of(operator)), max_size=4))
def test_any_text_before_a_bizzmq_command_works_or_is_refused(arguments: list[str]) -> None:
    ended(operator, "bizzmq", ["--redis-url=redis://127.0.0.1:1/0", *arguments], {0, 1, 2})


class NoSupervisor:
    """Accepts a configuration and starts nothing."""

    failure = None

    def __init__(self, config: WorkerConfig, *, for_good: bool, outlives_terminal: bool) -> None:
        assert config.queues
        assert for_good
        assert outlives_terminal in (False, True)

    def run(self) -> int:
        return exit_codes.DRAINED


def leave(_handler: str) -> NoReturn:
    """Imports nothing."""
    raise SystemExit(0)


@bounded
@given(arguments=st.lists(st.one_of(st.just("tasks:handler"), words, options_of(worker_cli.command)), max_size=6))
def test_any_worker_command_line_works_or_is_refused(arguments: list[str]) -> None:
    nothing = {"Supervisor": NoSupervisor, "in_foreground": lambda _config: None, "_check_preload": leave}
    with mock.patch.multiple(worker_cli, **nothing), mock.patch.object(worker_cli, "signals"):
        ended(worker_cli.command, "bizzmq-worker", arguments, {0, 1, exit_codes.USAGE})


schemes = st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "rediss+cluster", "redis+x", "http", ""])
tails = st.text(st.sampled_from("ab:/?#@[]%&=,+.*0123456789\n\0é\udcff"), max_size=30)
addresses = st.one_of(st.text(max_size=40), st.builds("{}://{}".format, schemes, tails))


@settings(max_examples=examples(400), deadline=None)
@given(text=addresses)
@example(text="redis://h/?connection_class=x")
@example(text="redis://h/?redis_connect_func=x")
@example(text="rediss://h/?ssl_cert_reqs=x")
@example(text="redis://[::1/")
@example(text="redis://h:99999/")
def test_any_address_works_or_is_refused(text: str) -> None:
    with suppress(ConfigurationError):
        assert check_url(text) == text
        if not group_url.is_group(text):
            Connection(text)


@settings(max_examples=examples(300), deadline=None, report_multiple_bugs=False)
@given(before=tails, after=tails, scheme=schemes)
def test_a_refused_address_shows_no_password(before: str, after: str, scheme: str) -> None:
    text = f"{scheme}://{before.replace('@', '')}:{CANARY}@{after}"
    try:
        check_url(text)
    except ConfigurationError as error:
        assert CANARY not in str(error)  # noqa: PT017 - it need not be refused
    assert CANARY not in redact(text)


SECRET = "s3cr3t-4f"
_WRONG = (
    "{s}",
    "{s}:6379",
    "redis://h:6379/{s}",
    "redis://h/?db={s}",
    "redis://h?{s}=1",
    "redis://h/0;{s}",
    "redis://h#{s}",
    "redis://u:p@h/{s}?db=1",
    "redis://h:{s}",
    "redis:/{s}",
    "redis:{s}@h",
    "{s}://h",
    "redis+{s}://h",
    "redis+sentinel://a,b/s/{s}",
    "redis+sentinel://a,{s}:x/s",
    "redis+cluster://a/{s}",
    "redis+cluster://a?{s}",
    "rediss://h?ssl_cert_reqs={s}",
    "rediss://h?ssl_ca_certs={s}",
    "redis://h?{s}",
    "rediss://h?ssl_{s}=1",
    "unix://?{s}",
    "embedded://{s}",
    "embedded:///d?{s}",
    "redis://h\n/{s}",
    "http://u:{s}@h",
)


@settings(max_examples=examples(200), deadline=None)
@given(text=st.one_of(st.sampled_from(_WRONG), st.builds("redis://{}@h:1/{{s}}{}".format, tails, tails),
                      st.builds("redis://h:1/{}{{s}}{}".format, tails, tails),
                      st.builds("rediss+cluster://h,i?{}{{s}}{}".format, tails, tails)))  # fmt: skip
def test_only_scheme_and_host_of_a_refused_address_are_shown(text: str) -> None:
    text = text.replace("{s}", SECRET)
    try:
        check_url(text) if not text.startswith("embedded") else BizzMQ(text).close()
    except ConfigurationError as error:
        shown = f"{error} {error!r} {traceback.format_exc()}"
        assert SECRET not in shown


@pytest.mark.parametrize("text", [one.replace("{s}", SECRET) for one in _WRONG])
def test_a_wrong_address_never_shows_its_secret(text: str) -> None:
    ended(operator, "bizzmq", [f"--redis-url={text}", "queues"], {1, 2}, secret=SECRET)


@pytest.mark.parametrize(
    "arguments",
    [["redis://:s3cr3t-4f@h"], ["redis://h:6379/s3cr3t-4f"], ["stats", "redis://u:s3cr3t-4f@h:1/0"],
     ["dlq", "rediss://x:s3cr3t-4f@h"], ["purge", "q", "redis://:s3cr3t-4f@h"]],
)  # fmt: skip
def test_an_address_in_the_wrong_argument_shows_no_password(arguments: list[str]) -> None:
    ended(operator, "bizzmq", ["--redis-url=redis://127.0.0.1:1/0", *arguments], {1, 2}, secret=SECRET)
    ended(worker_cli.command, "bizzmq-worker", arguments, {1, 2}, secret=SECRET)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://h:6379/PW", "redis://h/***"), ("redis://u:PW@h/0;x", "redis://***@h/***"), ("PW", "***"),
        ("redis+sentinel://a:1,[::1]:2/s/x", "redis+sentinel://a,[::1]/***"), ("redis://u:P/W@h", "redis://***"),
        ("redis://me:PW", "redis://***"),
    ],
)  # fmt: skip
def test_scheme_and_host_of_a_wrong_address(text: str, shown: str) -> None:
    assert scheme_and_host(text) == shown


@settings(max_examples=examples(300), deadline=None)
@given(request=st.one_of(st.binary(max_size=100), st.builds(lambda head: head + b"\r\n\r\n", st.binary(max_size=60))))
@example(request=b"GET /live HTTP/1.1\r\nAuthorization: Bearer \xff\r\n\r\n")
def test_a_listening_socket_answers_any_request(request: bytes) -> None:
    for token in ("", "token", "tökén"):
        reply = health.answer_with(token, lambda: "")(request)
        assert reply is None or reply.startswith(b"HTTP/1.1 ")
        assert not token or reply is None or b" 200 " not in reply.splitlines()[0] or token.encode() in request
    status = control_socket.answer_with({"status": lambda: {"ok": True}})(request)
    assert status is None or status.endswith(b"\n")


@pytest.mark.parametrize("wrong", [None, 7, b"redis://h", ["redis://h"], object()])
def test_an_address_that_is_not_text_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        BizzMQ(wrong)
