"""Nothing is deleted without confirmation."""

from __future__ import annotations

import os
import pty
import re
import signal
import tempfile
from typing import Iterator

import pytest

from bizzmq import MessageOptions
from bizzmq.cli.helpers import show_count
from bizzmq.errors import BrokerUnavailableError, QueueNotFoundError
from bizzmq.testing.wait import eventually
from bizzmq.utils.console import CommandError
from tests.faults.scene import QUEUE, Scene
from tests.pool.command import OPERATOR, refused
from tests.support.forked_command import CLOSED, CTRL_C, EOF, Forked, Terminal, bizzmq

PURGES = [["purge", QUEUE], ["dlq", "purge", QUEUE]]


@pytest.fixture
def full(scene: Scene) -> Scene:
    """Two messages wait, and two are dead letters."""
    scene.publish({}, {}, retries=0)
    stop = scene.mq.consume_message_from_queue(QUEUE, _fail)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 2)
    stop()
    scene.publish({}, {})
    return scene


def _fail(_body: object) -> None:
    raise ValueError


@pytest.mark.parametrize("command", PURGES)
@pytest.mark.parametrize("stdin", [b"", b"n\n", b"y\n", CLOSED])
def test_a_script_needs_yes(full: Scene, command: list[str], stdin: bytes | int) -> None:
    ended = bizzmq(*command, stdin=stdin, REDIS_URL=full.url)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("bizzmq: this deletes 2 ")
    assert "add --yes" in ended.err
    assert ended.err.count("\n") == 1
    _nothing_was_deleted(full)


def test_the_command_itself_refuses_in_a_script(full: Scene) -> None:
    assert "add --yes" in refused(OPERATOR, "purge", QUEUE, stdin=b"n\n", REDIS_URL=full.url)
    _nothing_was_deleted(full)


@pytest.mark.parametrize("command", PURGES)
def test_an_environment_variable_gives_no_consent(full: Scene, command: list[str]) -> None:
    variable = f"BIZZMQ_{'_'.join(command[:-1]).upper()}_YES"

    ended = bizzmq(*command, REDIS_URL=full.url, **{variable: "1"})

    assert ended.code == 2
    assert "add --yes" in ended.err
    _nothing_was_deleted(full)


@pytest.mark.parametrize("command", PURGES)
def test_with_yes_a_script_deletes(full: Scene, command: list[str]) -> None:
    assert bizzmq(*command, "--yes", REDIS_URL=full.url).lines() == ["2 messages deleted"]


def test_a_non_blocking_terminal_is_waited_for(full: Scene) -> None:
    with Terminal("purge", QUEUE, blocking=False, REDIS_URL=full.url) as terminal:
        terminal.wait_for("for good? [y/N]")
        terminal.type(b"y\n")
        assert terminal.lines()[-1] == "2 messages deleted"


@pytest.mark.parametrize("command", PURGES)
@pytest.mark.parametrize(
    ("keys", "code"),
    [(b"n\n", 1), (b"\n", 1), (EOF, 1), (b"yes please\n", 1), (b"\xff\xfe\n", 1), (CTRL_C, 130)],
    ids=["n", "enter", "eof", "other", "bytes", "ctrl-c"],
)
def test_on_a_terminal_any_other_answer_than_yes_deletes_nothing(
    full: Scene, command: list[str], keys: bytes, code: int
) -> None:
    with Terminal(*command, REDIS_URL=full.url) as terminal:
        terminal.wait_for("for good? [y/N]")
        terminal.type(keys)
        assert terminal.code() == code
        assert terminal.screen.splitlines()[-1] == "bizzmq: nothing was deleted"
    _nothing_was_deleted(full)


@pytest.mark.parametrize("command", PURGES)
def test_on_a_terminal_a_yes_deletes(full: Scene, command: list[str]) -> None:
    with Terminal(*command, REDIS_URL=full.url) as terminal:
        terminal.wait_for("for good? [y/N]")
        terminal.type(b"y\n")
        assert terminal.lines()[-1] == "2 messages deleted"


def test_without_a_terminal_for_the_question_it_is_not_asked(full: Scene) -> None:
    own, other = pty.openpty()
    ended = bizzmq("purge", QUEUE, stdin=other, REDIS_URL=full.url)
    os.close(own)
    os.close(other)

    assert (ended.code, ended.out) == (2, "")
    _nothing_was_deleted(full)


def _nothing_was_deleted(scene: Scene) -> None:
    stats = scene.mq.stats(QUEUE)
    assert (stats.waiting, stats.dead_lettered) == (2, 2)


def steps(error: BaseException) -> Iterator[int]:
    yield 100
    yield 23
    raise error


@pytest.mark.parametrize(
    ("error", "code", "reported"),
    [
        (KeyboardInterrupt(), 130, "interrupted; at least 123 messages deleted"),
        (BrokerUnavailableError("gone"), 1, "Redis is unavailable: gone; at least 123 messages deleted"),
        (QueueNotFoundError("q"), 1, "queue 'q' does not exist; call create_queue first; 123 messages deleted"),
    ],
    ids=repr,
)
def test_a_command_stopped_half_way_reports_its_progress(error: BaseException, code: int, reported: str) -> None:
    with pytest.raises(CommandError) as raised:
        show_count(steps(error), "message", "deleted")

    assert (raised.value.code, str(raised.value)) == (code, reported)


def test_an_interrupted_purge_reports_how_many_were_deleted(scene: Scene) -> None:
    total = 60_000
    scene.mq.publish_messages_to_queue(QUEUE, [None] * total, MessageOptions(priority=1))
    with tempfile.TemporaryFile() as err, open(os.devnull, "r+b") as null:  # noqa: PTH123 - a descriptor is wanted
        streams = [null.fileno(), null.fileno(), err.fileno()]
        with Forked(["purge", QUEUE, "--yes"], streams, {"REDIS_URL": scene.url}) as purging:
            eventually(lambda: scene.mq.stats(QUEUE).purged > 0)
            os.kill(purging.pid, signal.SIGINT)
            code = purging.code()
        err.seek(0)
        text = err.read().decode()

    left = scene.mq.stats(QUEUE).waiting
    assert 0 < left < total
    assert code == 130
    reported = re.fullmatch(r"bizzmq: interrupted; at least (\d+) messages deleted\n", text)
    assert reported is not None, text
    assert total - left - 100 <= int(reported[1]) <= total - left
